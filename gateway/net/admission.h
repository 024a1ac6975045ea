#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/places.h"
#include "gateway/delivery/pressure.h"
#include "gateway/delivery/token_bucket.h"
#include "gateway/net/http_head.h"
#include "gateway/net/ip_address.h"
#include "gateway/net/upgrade.h"

namespace tidegate {

struct AdmissionRules {
  // Connections without a finished request: all, and those of one address.
  std::size_t pending_max = 512;
  std::size_t pending_per_address_max = 64;
  // Connections, gRPC's subscriptions among them; more are answered with 503 and Retry-After.
  std::size_t connections_max = 10'000;
  // Of one address (a /64 of IPv6; this machine's own are not counted), and of one subject; more
  // get 429. 0: any number.
  std::size_t connections_per_address_max = 0;
  std::size_t connections_per_subject_max = 0;
  // Requests that are looked at; more get 503 and Retry-After. Verifying a token costs most; under
  // TLS the handshake does, so connections are counted when they are accepted, and more are closed.
  std::uint32_t upgrades_per_second = 5000;
  bool is_under_tls = false;
  // Who is believed when it says in X-Forwarded-For whose connection it is; or, with
  // `takes_proxy_header`, in the header of the PROXY protocol that it must send.
  std::vector<IpRange> trusted_proxies = {};
  bool takes_proxy_header = false;
  UpgradeRules upgrade = {};
};

// What a connection holds of the limits, as long as it lives.
using HeldPlaces = std::array<std::shared_ptr<const void>, 2>;

// A request that is granted.
struct Admitted {
  Upgrade upgrade;
  PrincipalRef principal;
  IpAddress client;
  HeldPlaces places;
};

// Who may connect: the limits, the form of the request, and the token, the cheap questions first.
// Thread: any (internally synchronised).
class Admission {
 public:
  // `connections`: how many are open now; called on any thread. The references must outlive it.
  Admission(AdmissionRules rules, const Authority& authority, const PressureGauge& pressure,
            const Clock& clock, std::function<std::size_t()> connections);

  // A connection was accepted: a place among those without a request, or null: close it.
  std::shared_ptr<const void> accept(const IpAddress& peer);
  // Few of these places are left: time to take them from peers that say nothing.
  bool is_crowded() const;
  // Whether this peer must begin with a header of the PROXY protocol.
  bool needs_proxy_header(const IpAddress& peer) const;
  // Its request, from `peer` as far as the connection itself knows.
  std::variant<Admitted, HttpRefusal> admit(const HttpRequest& request, const IpAddress& peer);
  // A session that comes by gRPC. kOverloaded, kRateLimited.
  Result<HeldPlaces> admit_remote(const Principal& principal);
  // From now on nobody is admitted.
  void close() { is_closed_.store(true, std::memory_order_relaxed); }

 private:
  bool is_full() const;
  bool take_turn();
  // Null when the principal has as many connections as it may have.
  std::shared_ptr<const void> place_of(const Principal& principal);

  std::size_t pending_max() const;

  const AdmissionRules rules_;
  const Authority& authority_;
  const PressureGauge& pressure_;
  const Clock& clock_;
  const std::function<std::size_t()> connections_;
  std::atomic<bool> is_closed_{false};
  Places<IpAddress, IpAddress::Hash> pending_;
  std::shared_ptr<std::atomic<std::size_t>> pending_count_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  Places<IpAddress, IpAddress::Hash> addresses_;
  Places<std::string> subjects_;
  Guarded<TokenBucket> turns_;
};

}  // namespace tidegate
