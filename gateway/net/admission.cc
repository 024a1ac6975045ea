#include "gateway/net/admission.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/net/proxy_header.h"

namespace tidegate {
namespace {

constexpr std::string_view kRetryAfter = "Retry-After: 5";

HttpRefusal overloaded(std::string detail) {
  return {503, std::move(detail), std::string(kRetryAfter)};
}

HttpRefusal too_many(std::string detail) {
  return {429, std::move(detail), std::string(kRetryAfter)};
}

// Of nobody: what is not limited.
std::shared_ptr<const void> free_place() {
  static const std::shared_ptr<const void> kFree = std::make_shared<int>();
  return kFree;
}

HttpRefusal refusal_of(const Error& error) {
  if (error.code == Code::kUnauthenticated) return unauthorized(error.message);
  return {code_info(error.code).http_status, error.message,
          code_info(error.code).retryable ? std::string(kRetryAfter) : ""};
}

}  // namespace

Admission::Admission(AdmissionRules rules, const Authority& authority,
                     const PressureGauge& pressure, const Clock& clock,
                     std::function<std::size_t()> connections)
    : rules_(std::move(rules)),
      authority_(authority),
      pressure_(pressure),
      clock_(clock),
      connections_(std::move(connections)),
      pending_(rules_.pending_per_address_max),
      addresses_(rules_.connections_per_address_max),
      subjects_(rules_.connections_per_subject_max),
      turns_(
          TokenBucket(rules_.upgrades_per_second, rules_.upgrades_per_second, clock.steady_ms())) {}

std::shared_ptr<const void> Admission::accept(const IpAddress& peer) {
  if (rules_.is_under_tls && !take_turn()) return nullptr;
  // Nobody waits for an answer that costs a file descriptor more often than that.
  if (pending_count_->fetch_add(1, std::memory_order_relaxed) >= pending_max()) {
    pending_count_->fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  // A proxy's connections are of many.
  const bool is_counted = !peer.is_loopback() && !is_trusted(peer, rules_.trusted_proxies);
  const auto place = is_counted ? pending_.take(peer.site()) : free_place();
  if (place == nullptr) {
    pending_count_->fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  return {place.get(), [count = pending_count_, place](const void*) {
            count->fetch_sub(1, std::memory_order_relaxed);
          }};
}

std::size_t Admission::pending_max() const {
  return std::min(rules_.pending_max, rules_.connections_max);
}

bool Admission::is_crowded() const {
  return pending_count_->load(std::memory_order_relaxed) > pending_max() / 4 * 3;
}

bool Admission::needs_proxy_header(const IpAddress& peer) const {
  return rules_.takes_proxy_header && is_trusted(peer, rules_.trusted_proxies);
}

bool Admission::is_full() const {
  return is_closed_.load(std::memory_order_relaxed) || pressure_.level() == Pressure::kCritical ||
         connections_() >= rules_.connections_max;
}

bool Admission::take_turn() {
  const std::int64_t now_ms = clock_.steady_ms();
  return turns_.with([now_ms](TokenBucket& turns) { return turns.take(now_ms); });
}

std::shared_ptr<const void> Admission::place_of(const Principal& principal) {
  return principal.is_unrestricted ? free_place() : subjects_.take(principal.owner);
}

std::variant<Admitted, HttpRefusal> Admission::admit(const HttpRequest& request,
                                                     const IpAddress& peer) {
  auto checked = check_upgrade(request, rules_.upgrade);
  if (auto* refusal = std::get_if<HttpRefusal>(&checked)) return std::move(*refusal);
  Admitted admitted;
  admitted.upgrade = std::move(std::get<Upgrade>(checked));
  admitted.client = forwarded_client(request, peer, rules_.trusted_proxies);
  if (is_full() || (!rules_.is_under_tls && !take_turn()))
    return overloaded("no more connections are taken at the moment");
  admitted.places[0] =
      admitted.client.is_loopback() ? free_place() : addresses_.take(admitted.client.site());
  if (admitted.places[0] == nullptr) {
    return too_many(fmt::format("this address has {} connections, as many as it may have",
                                rules_.connections_per_address_max));
  }
  // The signature last: it costs more than everything else here.
  const std::string token = std::exchange(admitted.upgrade.token, {});
  const std::string client = admitted.client.text();
  auto principal = token.empty() ? authority_.anonymous() : authority_.authenticate(token);
  if (!principal) {
    authority_.audit().note({"refused", client, {}, principal.error().message});
    return refusal_of(principal.error());
  }
  admitted.principal = *std::move(principal);
  admitted.places[1] = place_of(*admitted.principal);
  if (admitted.places[1] == nullptr) {
    authority_.audit().note(
        {"refused", client, admitted.principal->subject, "too many connections"});
    return too_many(fmt::format("this subject has {} connections, as many as it may have",
                                rules_.connections_per_subject_max));
  }
  authority_.audit().note({"authenticated", client, admitted.principal->subject, "WebSocket"});
  return admitted;
}

Result<HeldPlaces> Admission::admit_remote(const Principal& principal) {
  if (is_full()) {
    return Error{.code = Code::kOverloaded,
                 .message = "no more subscriptions are taken at the moment",
                 .retry_after_ms = 5000};
  }
  HeldPlaces places = {place_of(principal), nullptr};
  if (places[0] != nullptr) return places;
  return Error{.code = Code::kRateLimited,
               .message = fmt::format("this subject has {} connections, as many as it may have",
                                      rules_.connections_per_subject_max),
               .retry_after_ms = 5000};
}

}  // namespace tidegate
