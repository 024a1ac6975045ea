#include "eventstore/base/error.h"

#include <array>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

// Numbers of grpc::StatusCode, which this layer does not include.
constexpr int kInvalidArgument = 3;
constexpr int kDeadlineExceeded = 4;
constexpr int kGrpcNotFound = 5;
constexpr int kAlreadyExists = 6;
constexpr int kPermissionDenied = 7;
constexpr int kResourceExhausted = 8;
constexpr int kFailedPrecondition = 9;
constexpr int kOutOfRange = 11;
constexpr int kGrpcInternal = 13;
constexpr int kGrpcUnavailable = 14;
constexpr int kGrpcDataLoss = 15;
constexpr int kGrpcUnauthenticated = 16;

// In the order of enum Code.
constexpr std::array<CodeInfo, 25> kCodes = {{
    {"bad_message", kInvalidArgument, 400, 2, false},
    {"bad_pattern", kInvalidArgument, 400, 2, false},
    {"bad_position", kInvalidArgument, 400, 2, false},
    {"bad_event", kInvalidArgument, 400, 2, false},
    {"bad_argument", kInvalidArgument, 400, 2, false},
    {"unknown_op", kInvalidArgument, 400, 2, false},
    {"unsupported", kInvalidArgument, 400, 2, false},
    {"event_too_large", kInvalidArgument, 413, 1, false},
    {"batch_too_large", kInvalidArgument, 413, 1, false},
    {"limit", kInvalidArgument, 400, 1, false},
    {"unauthenticated", kGrpcUnauthenticated, 401, 5, false},
    {"forbidden", kPermissionDenied, 403, 5, false},
    {"not_found", kGrpcNotFound, 404, 3, false},
    {"check_failed", kFailedPrecondition, 412, 4, false},
    {"duplicate_id", kAlreadyExists, 409, 4, false},
    {"trimmed", kOutOfRange, 410, 4, false},
    {"history_mismatch", kFailedPrecondition, 409, 4, false},
    {"overloaded", kResourceExhausted, 503, 6, true},
    {"rate_limited", kResourceExhausted, 429, 6, true},
    {"disk_low", kResourceExhausted, 503, 6, true},
    {"draining", kGrpcUnavailable, 503, 6, true},
    {"unavailable", kGrpcUnavailable, 503, 6, true},
    {"outcome_unknown", kDeadlineExceeded, 504, 6, true},
    {"data_loss", kGrpcDataLoss, 500, 1, false},
    {"internal", kGrpcInternal, 500, 1, false},
}};
static_assert(kCodes.size() == static_cast<std::size_t>(Code::kInternal) + 1);

}  // namespace

const CodeInfo& code_info(Code code) {
  const auto index = static_cast<std::size_t>(code);
  TG_CHECK(index < kCodes.size(), index);
  return kCodes[index];
}

Code code_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kCodes.size(); ++i) {
    if (kCodes[i].name == name) return static_cast<Code>(i);
  }
  return Code::kInternal;
}

}  // namespace tidegate
