#include "gateway/api/error_details.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "eventstore/base/log.h"
#include "eventstore/base/text.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tidegate {
namespace {

// Longest text of one violation: enough for a stream's name and what was expected of it.
constexpr std::size_t kViolationBytesMax = 400;

// A peer's text may have been cut inside a character; a proto string that is not UTF-8 makes the
// whole message unreadable.
std::string as_utf8(std::string_view text, std::size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  // A cut inside a character costs at most its three leading bytes.
  for (int i = 0; i < 3 && text.size() > bytes_max && !is_valid_utf8(out); ++i) out.pop_back();
  if (is_valid_utf8(out)) return out;
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  return out;
}

std::uint32_t retry_after_ms(const Error& error) {
  if (error.retry_after_ms != 0) return error.retry_after_ms;
  const bool is_exhausted = code_info(error.code).grpc_status == grpc::RESOURCE_EXHAUSTED;
  return is_exhausted ? kRetryAfterDefaultMs : 0;
}

std::string_view violation_type(ErrorDetail::Kind kind) {
  switch (kind) {
    case ErrorDetail::Kind::kAbsent:
      return "ABSENT";
    case ErrorDetail::Kind::kPresent:
      return "PRESENT";
    default:
      return "REVISION";
  }
}

struct Details {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::PreconditionFailure failure;
  std::size_t bytes = 0;
  std::size_t left_off = 0;
};

void add_detail(const ErrorDetail& detail, Details& details) {
  std::string subject = as_utf8(detail.subject, kViolationBytesMax);
  std::string description = as_utf8(detail.description, kViolationBytesMax);
  // 24: the tags and lengths of a violation, and its type.
  const std::size_t bytes = subject.size() + description.size() + 24;
  if (details.bytes + bytes > kErrorDetailsBytesMax - kErrorMessageBytesMax - 512) {
    ++details.left_off;
    return;
  }
  details.bytes += bytes;
  if (detail.kind == ErrorDetail::Kind::kFact) {
    (*details.info.mutable_metadata())[subject] = std::move(description);
    return;
  }
  if (detail.kind == ErrorDetail::Kind::kField) {
    auto* violation = details.bad_request.add_field_violations();
    violation->set_field(std::move(subject));
    violation->set_description(std::move(description));
    return;
  }
  auto* violation = details.failure.add_violations();
  violation->set_type(std::string(violation_type(detail.kind)));
  violation->set_subject(std::move(subject));
  violation->set_description(std::move(description));
}

void pack(const google::protobuf::Message& detail, google::rpc::Status& status) {
  status.add_details()->PackFrom(detail);
}

}  // namespace

grpc::Status to_grpc_status(const Error& error) {
  const CodeInfo& code = code_info(error.code);
  if (log_enabled(LogLevel::kDebug)) {
    log(LogLevel::kDebug, "a call was refused",
        {{"code", code.name}, {"reason", as_utf8(error.message, kErrorMessageBytesMax)}});
  }
  Details details;
  details.info.set_reason(std::string(code.name));
  details.info.set_domain("tidegate");
  for (const ErrorDetail& detail : error.details) add_detail(detail, details);
  if (details.left_off > 0) {
    (*details.info.mutable_metadata())["left_off"] = std::to_string(details.left_off);
  }

  google::rpc::Status status;
  status.set_code(code.grpc_status);
  status.set_message(as_utf8(error.message, kErrorMessageBytesMax));
  pack(details.info, status);
  if (const std::uint32_t wait_ms = retry_after_ms(error); wait_ms != 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(wait_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(wait_ms % 1000) * 1'000'000);
    pack(retry, status);
  }
  if (details.bad_request.field_violations_size() > 0) pack(details.bad_request, status);
  if (details.failure.violations_size() > 0) pack(details.failure, status);
  return {static_cast<grpc::StatusCode>(code.grpc_status), status.message(),
          status.SerializeAsString()};
}

}  // namespace tidegate
