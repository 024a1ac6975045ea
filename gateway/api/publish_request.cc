#include "gateway/api/publish_request.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "eventstore/filter.h"
#include "gateway/api/start_place.h"
#include "gateway/cloudevents/cloud_event.h"

namespace tidegate {
namespace {

constexpr std::size_t kDetailsMax = 20;

Status check_size(const v1::PublishRequest& request, std::size_t received_bytes) {
  if (request.events_size() == 0)
    return field_error("events", "a request needs at least one event");
  const auto events = static_cast<std::size_t>(request.events_size());
  if (events > kBatchEventsMax) {
    return field_error("events", fmt::format("at most {} events, are {}", kBatchEventsMax, events),
                       Code::kBatchTooLarge);
  }
  // Measuring it walks all of it, which is seldom needed.
  const std::size_t bytes = received_bytes > kBatchBytesMax ? request.ByteSizeLong() : 0;
  if (bytes > kBatchBytesMax) {
    return field_error("events", fmt::format("at most {} bytes, are {}", kBatchBytesMax, bytes),
                       Code::kBatchTooLarge);
  }
  const auto checks = static_cast<std::size_t>(request.checks_size());
  if (checks > kChecksMax) {
    return field_error("checks", fmt::format("at most {}, are {}", kChecksMax, checks),
                       Code::kLimit);
  }
  return {};
}

// Merges what is wrong with one event into the error of the request.
void add_event_error(int index, const Error& error, std::optional<Error>& all) {
  const std::string path = fmt::format("events[{}]", index);
  if (!all) all = Error{error.code, fmt::format("{}: {}", path, error.message)};
  if (all->details.size() >= kDetailsMax) return;
  if (error.details.empty()) {
    all->details.push_back({ErrorDetail::Kind::kField, path, error.message});
    return;
  }
  for (const ErrorDetail& detail : error.details) {
    if (all->details.size() >= kDetailsMax) return;
    all->details.push_back(
        {detail.kind, fmt::format("{}.{}", path, detail.subject), detail.description});
  }
}

Status add_events(const v1::PublishRequest& request, AppendRequest& out) {
  out.events.reserve(static_cast<std::size_t>(request.events_size()));
  std::optional<Error> all;
  for (int i = 0; i < request.events_size(); ++i) {
    const v1::NewEvent& event = request.events(i);
    auto made = make_new_event(event.stream(), event.event());
    if (!made) {
      add_event_error(i, made.error(), all);
    } else if (!all) {
      out.events.push_back(std::move(made).value());
    }
  }
  if (all) return std::move(*all);
  return {};
}

Result<Check> to_check(const v1::Check& check, const std::string& path) {
  if (const Status name = check_stream_name(check.stream()); !name) {
    return field_error(path + ".stream", name.error().message);
  }
  switch (check.expected_case()) {
    case v1::Check::kRevision:
      return Check{check.stream(), Check::Kind::kRevision, check.revision()};
    case v1::Check::kAbsent:
      if (!check.absent()) return field_error(path + ".absent", "must be true when it is given");
      return Check{check.stream(), Check::Kind::kAbsent, 0};
    case v1::Check::kPresent:
      if (!check.present()) return field_error(path + ".present", "must be true when it is given");
      return Check{check.stream(), Check::Kind::kPresent, 0};
    case v1::Check::EXPECTED_NOT_SET:
      break;
  }
  return field_error(path, "expects nothing: give revision, absent or present");
}

Result<Durability> to_durability(v1::Durability durability) {
  switch (durability) {
    case v1::DURABILITY_UNSPECIFIED:
    case v1::DURABILITY_SYNCED:
      return Durability::kSynced;
    case v1::DURABILITY_BUFFERED:
      return Durability::kBuffered;
    default:
      return field_error("durability", fmt::format("{} is unknown", static_cast<int>(durability)));
  }
}

std::string detail_line(const ErrorDetail& detail) {
  return fmt::format("{}: {}", detail.subject, detail.description);
}

}  // namespace

Result<AppendRequest> to_append_request(const v1::PublishRequest& request,
                                        std::size_t received_bytes) {
  if (const Status size = check_size(request, received_bytes); !size) return size.error();
  AppendRequest out;
  const auto durability = to_durability(request.durability());
  if (!durability) return durability.error();
  out.durability = *durability;
  if (const Status events = add_events(request, out); !events) return events.error();
  for (int i = 0; i < request.checks_size(); ++i) {
    auto check = to_check(request.checks(i), fmt::format("checks[{}]", i));
    if (!check) return std::move(check).error();
    out.checks.push_back(std::move(check).value());
  }
  return out;
}

void set_publish_response(v1::PublishResponse& out, const AppendResult& result) {
  out.mutable_events()->Reserve(static_cast<int>(result.events.size()));
  for (const Appended& event : result.events) {
    v1::PublishedEvent* published = out.add_events();
    published->set_sequence(event.sequence);
    published->set_revision(event.revision);
    published->set_deduplicated(event.deduplicated);
  }
  result.position.append_to(*out.mutable_position());
  out.set_durability(result.durability == Durability::kBuffered ? v1::DURABILITY_BUFFERED
                                                                : v1::DURABILITY_SYNCED);
}

void set_publish_error(v1::PublishError& out, const Error& error) {
  const CodeInfo& code = code_info(error.code);
  out.set_code(std::string(code.name));
  out.set_message(error.message);
  for (const ErrorDetail& detail : error.details) out.add_details(detail_line(detail));
  out.set_retryable(code.retryable);
}

bool is_capacity_refusal(Code code) {
  return code == Code::kOverloaded || code == Code::kRateLimited || code == Code::kDiskLow ||
         code == Code::kDraining || code == Code::kUnavailable;
}

}  // namespace tidegate
