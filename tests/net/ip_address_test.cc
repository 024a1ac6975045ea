// Addresses, ranges, and who a proxy says that a connection is from.

#include "gateway/net/ip_address.h"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/net/proxy_header.h"

namespace tidegate::test {
namespace {

IpAddress address(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(IpAddress());
}

TEST(IpAddressTest, ReadsAndWritesBothFamilies) {
  EXPECT_EQ(address("192.0.2.1").text(), "192.0.2.1");
  EXPECT_EQ(address("2001:DB8::1").text(), "2001:db8::1");
  EXPECT_EQ(address("[2001:db8::1]").text(), "2001:db8::1");
  // One host, one form.
  EXPECT_EQ(address("::ffff:192.0.2.1"), address("192.0.2.1"));
  constexpr std::string_view kBad[] = {
      "",     "localhost", "1.2.3",     "1.2.3.4.5", "1.2.3.4:80", "[1.2.3.4]", "::1%lo",
      "::1 ", " ::1",      "300.1.1.1", "[",         "[]",         "[::1",      {"1.2.3.4\0", 8}};
  for (const std::string_view bad : kBad) {
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
  }
}

TEST(IpAddressTest, KnowsThisMachine) {
  for (const char* text : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(address(text).is_loopback()) << text;
  }
  for (const char* text : {"128.0.0.1", "::", "::2", "1::1"}) {
    EXPECT_FALSE(address(text).is_loopback()) << text;
  }
}

TEST(IpAddressTest, ASiteIsOneAddressOrANetworkOf64Bits) {
  EXPECT_EQ(address("192.0.2.1").site(), address("192.0.2.1"));
  EXPECT_EQ(address("2001:db8:1:2:3:4:5:6").site(), address("2001:db8:1:2::"));
}

TEST(IpRangeTest, ContainsWhatBeginsAlike) {
  struct Case {
    const char* range;
    const char* inside;
    const char* outside;
  };
  for (const Case& test : {Case{"10.0.0.0/8", "10.255.1.2", "11.0.0.0"},
                           {"192.0.2.128/25", "192.0.2.255", "192.0.2.127"},
                           {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
                           {"0.0.0.0/0", "255.1.1.1", "2001:db8::1"},
                           {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
                           {"::/0", "1.2.3.4", ""}}) {
    const auto range = IpRange::parse(test.range);
    ASSERT_TRUE(range) << test.range;
    EXPECT_TRUE(range->contains(address(test.inside))) << test.range;
    if (*test.outside != '\0') EXPECT_FALSE(range->contains(address(test.outside))) << test.range;
  }
  for (const char* bad : {"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "2001:db8::/129", "10/8",
                          "10.0.0.0/8/8", "10.0.0.0/-1", "x/8"}) {
    EXPECT_FALSE(IpRange::parse(bad)) << bad;
  }
}

HttpRequest request_with(const std::vector<std::string>& forwarded) {
  HttpRequest request;
  for (const std::string& value : forwarded) request.fields.push_back({"X-Forwarded-For", value});
  return request;
}

TEST(ForwardedClientTest, IsTheLastThatNoTrustedProxyIs) {
  const std::vector<IpRange> trusted = {*IpRange::parse("10.0.0.0/8"),
                                        *IpRange::parse("2001:db8::/32")};
  struct Case {
    const char* peer;
    std::vector<std::string> forwarded;
    const char* client;
  };
  const std::vector<Case> cases = {
      // Nobody can choose their address.
      {"192.0.2.7", {"198.51.100.1"}, "192.0.2.7"},
      {"10.0.0.1", {}, "10.0.0.1"},
      {"10.0.0.1", {"198.51.100.1"}, "198.51.100.1"},
      // What the client itself wrote stands further left.
      {"10.0.0.1", {"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
      {"10.0.0.1", {"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
      {"10.0.0.1", {"198.51.100.1, 10.0.0.2, 10.0.0.3"}, "198.51.100.1"},
      {"10.0.0.1", {"10.0.0.9, 10.0.0.2"}, "10.0.0.9"},
      {"10.0.0.1", {"198.51.100.1, nonsense, 10.0.0.2"}, "10.0.0.2"},
      {"10.0.0.1", {"nonsense"}, "10.0.0.1"},
      {"2001:db8::1", {"[2001:db9::5]"}, "2001:db9::5"},
  };
  for (const Case& test : cases) {
    EXPECT_EQ(forwarded_client(request_with(test.forwarded), address(test.peer), trusted).text(),
              test.client);
  }
}

std::string header(char command, char family, const std::string& rest) {
  std::string bytes("\r\n\r\n\0\r\nQUIT\n", 12);
  bytes += command;
  bytes += family;
  bytes += static_cast<char>(rest.size() >> 8);
  bytes += static_cast<char>(rest.size() & 0xff);
  return bytes + rest;
}

// In pieces of this size, never more than is wanted. What is left stays in `bytes`.
ProxyHeader::State feed(ProxyHeader& proxy, std::string& bytes, std::size_t piece) {
  ProxyHeader::State state = ProxyHeader::State::kIncomplete;
  while (state == ProxyHeader::State::kIncomplete && !bytes.empty()) {
    const std::size_t count = std::min({piece, proxy.wanted(), bytes.size()});
    EXPECT_GT(count, 0U);
    if (count == 0) break;
    state = proxy.take(bytes.substr(0, count));
    bytes.erase(0, count);
  }
  return state;
}

TEST(ProxyHeaderTest, TellsTheClientAndLeavesWhatFollows) {
  const std::string four("\xc0\x00\x02\x01\x7f\x00\x00\x01\x12\x34\x1b\xa8", 12);
  std::string six("\x20\x01\x0d\xb8", 4);
  six += std::string(11, '\0') + '\1' + std::string(16, '\2') + "abcd";
  struct Case {
    std::string bytes;
    std::string client;  // "": none
  };
  const std::vector<Case> cases = {
      {header('\x21', '\x11', four), "192.0.2.1"},
      {header('\x21', '\x11', four + std::string(200, 't')), "192.0.2.1"},
      {header('\x21', '\x21', six), "2001:db8::1"},
      {header('\x20', '\x11', four), ""},
      {header('\x20', '\0', ""), ""},
      {header('\x21', '\x31', std::string(216, 'u')), ""},  // a UNIX socket
  };
  for (const Case& test : cases) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{10'000}}) {
      ProxyHeader proxy;
      std::string bytes = test.bytes + "GET /";
      EXPECT_EQ(feed(proxy, bytes, piece), ProxyHeader::State::kComplete);
      EXPECT_EQ(bytes, "GET /");
      EXPECT_EQ(proxy.client() ? proxy.client()->text() : "", test.client);
    }
  }
}

TEST(ProxyHeaderTest, RefusesEverythingElse) {
  std::string other_signature = header('\x20', '\0', "");
  other_signature[11] = '\r';
  for (std::string bytes :
       {std::string("GET /v1/ws HTTP/1.1\r\n\r\n"),
        std::string("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n"), other_signature,
        header('\x22', '\x11', std::string(12, 'x')), header('\x11', '\x11', std::string(12, 'x')),
        header('\x21', '\x11', std::string(11, 'x')), header('\x21', '\x21', std::string(35, 'x')),
        header('\x21', '\x11', std::string(2000, 'x'))}) {
    ProxyHeader proxy;
    EXPECT_EQ(feed(proxy, bytes, 5), ProxyHeader::State::kRefused);
  }
}

}  // namespace
}  // namespace tidegate::test
