#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidegate {

// The error codes of Tidegate, the same on every surface. Their table is `code_info`, and
// docs/protocol.md shows it. When you add a code, add its row in error.cc at the same place.
// Thread: caller serialises (values and pure functions of this file).
enum class Code : std::uint8_t {
  kBadMessage,
  kBadPattern,
  kBadPosition,
  kBadEvent,
  kBadArgument,
  kUnknownOp,
  kUnsupported,
  kEventTooLarge,
  kBatchTooLarge,
  kLimit,
  kUnauthenticated,
  kForbidden,
  kNotFound,
  kCheckFailed,
  kDuplicateId,
  kTrimmed,
  kHistoryMismatch,
  kOverloaded,
  kRateLimited,
  kDiskLow,
  kDraining,
  kUnavailable,
  kOutcomeUnknown,
  kDataLoss,
  kInternal,
};

// How a code appears on each surface.
struct CodeInfo {
  std::string_view
      name;         // "check_failed": WebSocket `code`, gRPC ErrorInfo.reason, problem+json `code`
  int grpc_status;  // number of grpc::StatusCode
  int http_status;
  int exit_code;  // of the CLI
  bool retryable;
};

const CodeInfo& code_info(Code code);

// The code with this name; kInternal for a name of a newer version.
Code code_from_name(std::string_view name);

// One thing of several that is wrong: a field and what about it, or a failing check.
struct ErrorDetail {
  enum class Kind : std::uint8_t { kField, kRevision, kAbsent, kPresent, kFact };
  Kind kind = Kind::kField;
  std::string subject;      // path of the field, stream of the check, or name of the fact ("floor")
  std::string description;  // what was expected and what is, or the fact's value
};

// What went wrong and what to do about it. `message` is for people and carries the offending value,
// never a secret.
struct Error {
  Code code = Code::kInternal;
  std::string message;
  std::vector<ErrorDetail> details = {};
  std::uint32_t retry_after_ms = 0;  // 0: no advice
};

}  // namespace tidegate
