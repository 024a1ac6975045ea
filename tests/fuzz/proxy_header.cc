// What a proxy says of a connection.

#include "gateway/net/proxy_header.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(proxy_header) {
  using namespace tidegate;
  ProxyHeader header;
  std::string_view rest = input;
  ProxyHeader::State state = ProxyHeader::State::kIncomplete;
  while (!rest.empty() && state == ProxyHeader::State::kIncomplete) {
    const std::size_t wanted = header.wanted();
    fuzz::require(wanted > 0 && wanted <= ProxyHeader::kBytesMax, "it wants what it may have");
    state = header.take(rest.substr(0, wanted));
    rest.remove_prefix(std::min(wanted, rest.size()));
  }
  HttpRequest request;
  request.fields.push_back({"X-Forwarded-For", std::string(input)});
  const std::vector<IpRange> trusted = {*IpRange::parse("10.0.0.0/8")};
  const IpAddress client = forwarded_client(request, *IpAddress::parse("10.0.0.1"), trusted);
  fuzz::require(IpAddress::parse(client.text()) == client, "an address has a text");
  if (const auto range = IpRange::parse(input)) static_cast<void>(range->contains(client));
}
