#include "gateway/delivery/principal.h"

#include <algorithm>

#include <fmt/format.h>

namespace tidegate {
namespace {

bool is_granted(const std::vector<Pattern>& grants, std::string_view stream) {
  return std::any_of(grants.begin(), grants.end(),
                     [stream](const Pattern& grant) { return grant.matches(stream); });
}

}  // namespace

PrincipalRef Principal::unrestricted() {
  static const PrincipalRef everybody = [] {
    Principal made;
    made.is_admin = true;
    made.is_unrestricted = true;
    return std::make_shared<const Principal>(std::move(made));
  }();
  return everybody;
}

Status Principal::check_subscribe(const Filter& filter) const {
  if (is_unrestricted) return {};
  for (const Pattern& pattern : filter.patterns()) {
    if (is_within(pattern, subscribe)) continue;
    return Error{Code::kForbidden,
                 fmt::format("the token does not permit to read all of '{}'", pattern.text())};
  }
  return {};
}

Status Principal::take_publish(const AppendRequest& request) const {
  if (is_unrestricted) return {};
  std::string_view last_granted;  // neighbours are often of one stream
  for (const NewEvent& event : request.events) {
    if (event.stream == last_granted) continue;
    if (!is_granted(publish, event.stream)) {
      return Error{Code::kForbidden,
                   fmt::format("the token does not permit to publish to '{}'", event.stream)};
    }
    last_granted = event.stream;
  }
  for (const Check& check : request.checks) {
    if (may_see(check.stream)) continue;
    return Error{Code::kForbidden,
                 fmt::format("the token does not permit to check stream '{}'", check.stream)};
  }
  return budget ? budget->take_publish(request.events.size(), request.bytes()) : Status();
}

Status Principal::check_projection(std::string_view name) const {
  if (Status good = check_stream_name(name); !good) {
    return Error{Code::kBadArgument, "'projection': " + good.error().message};
  }
  if (is_unrestricted || is_granted(subscribe, fmt::format("_projections.{}", name))) return {};
  return Error{Code::kForbidden,
               fmt::format("the token does not permit to read projection '{}': it needs a "
                           "subscribe grant for '_projections.{}'",
                           name, name)};
}

std::int64_t Principal::charge_replay(std::size_t bytes) const {
  return budget ? budget->charge_replay(bytes) : 0;
}

bool Principal::may_see(std::string_view stream) const {
  return is_unrestricted || is_granted(subscribe, stream) || is_granted(publish, stream);
}

}  // namespace tidegate
