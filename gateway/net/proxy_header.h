#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/net/http_head.h"
#include "gateway/net/ip_address.h"

namespace tidegate {

// The header with which a proxy begins a connection to say whose it is: version 2 of the PROXY
// protocol (haproxy.org, "The PROXY protocol", section 2.2). Whatever follows it is not touched.
// Thread: caller serialises.
class ProxyHeader {
 public:
  // Addresses and a proxy's own notes (TLVs) fit; more is refused.
  static constexpr std::size_t kBytesMax = 1024;

  enum class State { kIncomplete, kComplete, kRefused };

  // How many bytes to read next; no more than these may be given to `take`.
  std::size_t wanted() const;
  State take(std::string_view bytes);

  // Of kComplete: who connected to the proxy; nothing when the proxy itself did (LOCAL), or by
  // another way than TCP.
  const std::optional<IpAddress>& client() const { return client_; }

 private:
  State parse();

  std::string bytes_;
  std::optional<IpAddress> client_;
};

// Who a request is from, by the chain of X-Forwarded-For: the last address that is not a trusted
// proxy's, as everything before it was written by somebody who is not trusted. `peer` itself when
// it is not trusted, or what the chain has there is no address.
IpAddress forwarded_client(const HttpRequest& request, const IpAddress& peer,
                           std::span<const IpRange> trusted);

// Thread: any (pure function).
bool is_trusted(const IpAddress& address, std::span<const IpRange> trusted);

}  // namespace tidegate
