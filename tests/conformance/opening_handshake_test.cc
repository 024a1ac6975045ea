// RFC 6455 sections 4.1, 4.2, 4.4, 9.1 and 11.3: the request for a WebSocket, field by field.
// What a request of HTTP must look like at all: http_request_test.cc. What only we refuse (Host,
// Origin, sizes, times): tests/e2e/handshake_test.cc.

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/conformance/peer.h"
#include "tests/conformance/request_cases.h"

namespace tidegate::test {
namespace {

const std::string kKeyField = "Sec-WebSocket-Key";
const std::string kVersionField = "Sec-WebSocket-Version";
const std::string kProtocolField = "Sec-WebSocket-Protocol";
const std::string kExtensionsField = "Sec-WebSocket-Extensions";

RequestCase rfc6455(const std::string& section, const std::string& name,
                    const UpgradeRequest& request) {
  return {"RFC 6455 section " + section, name, request.bytes()};
}

// The request with the names of its fields changed.
UpgradeRequest with_names(int (*change)(int)) {
  UpgradeRequest request;
  for (std::string& field : request.fields) {
    const auto colon = field.begin() + static_cast<std::ptrdiff_t>(field.find(':'));
    std::transform(field.begin(), colon, field.begin(),
                   [change](char c) { return static_cast<char>(change(c)); });
  }
  return request;
}

TEST(OpeningHandshakeTest, AnswersTheKey) {
  // The examples of sections 1.3 and 4.1.
  const auto heads = expect_upgraded(
      {rfc6455("1.3", "sample nonce", kGood.replacing(kKeyField, "dGhlIHNhbXBsZSBub25jZQ==")),
       rfc6455("4.1", "sixteen counted bytes",
               kGood.replacing(kKeyField, "AQIDBAUGBwgJCgsMDQ4PEA=="))});
  EXPECT_NE(heads[0].find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos);
  EXPECT_NE(heads[1].find("\r\nSec-WebSocket-Accept: C/0nmHhBztSRGR1CwL6Tf4ZjwpY=\r\n"),
            std::string::npos);
  EXPECT_TRUE(heads[0].starts_with("HTTP/1.1 101 "));
  EXPECT_EQ(heads[0].find("Sec-WebSocket-Protocol"), std::string::npos);
}

TEST(OpeningHandshakeTest, TakesARequestInAnyPieces) {
  for (const Delivery delivery : {Delivery::kWhole, Delivery::kPieces, Delivery::kBytes}) {
    SCOPED_TRACE(name_of(delivery));
    TcpClient client(gateway().http());
    send(client, kGood.bytes(), delivery);
    EXPECT_EQ(HttpReply::parse(client.receive().value_or("")).status, 101);
    expect_unharmed();
  }
}

TEST(OpeningHandshakeTest, ReadsTokensInAnyCaseAndList) {
  expect_upgraded({
      rfc6455("4.2.1", "names of fields in lower case", with_names(std::tolower)),
      rfc6455("4.2.1", "names of fields in upper case", with_names(std::toupper)),
      rfc6455("4.2.1", "Upgrade in capitals", kGood.replacing("Upgrade", "WEBSOCKET")),
      rfc6455("4.2.1", "Upgrade as in old browsers", kGood.replacing("Upgrade", "WebSocket")),
      rfc6455("4.2.1", "Upgrade with others", kGood.replacing("Upgrade", "h2c, websocket")),
      rfc6455("4.2.1", "Upgrade in two fields",
              kGood.replacing("Upgrade", "h2c").with("Upgrade: websocket")),
      rfc6455("4.2.1", "Connection in lower case", kGood.replacing("Connection", "upgrade")),
      rfc6455("4.2.1", "Connection in capitals", kGood.replacing("Connection", "UPGRADE")),
      rfc6455("4.2.1", "Connection with others, last",
              kGood.replacing("Connection", "keep-alive, Upgrade")),
      rfc6455("4.2.1", "Connection with others, first",
              kGood.replacing("Connection", "Upgrade,keep-alive")),
      rfc6455("4.2.1", "Connection in two fields",
              kGood.replacing("Connection", "keep-alive").with("Connection: Upgrade")),
      rfc6455("4.2.1", "Connection with white space",
              kGood.replacing("Connection", "keep-alive ,\t Upgrade\t")),
      rfc6455("4.2.1", "the fields in another order",
              kGood.replacing("Host", "127.0.0.1").replacing("Upgrade", "websocket")),
      rfc6455("4.2.1", "a query in the target", kGood.to("GET /v1/ws?a=b HTTP/1.1")),
      rfc6455("4.2.1", "an empty query", kGood.to("GET /v1/ws? HTTP/1.1")),
      rfc6455("4.1", "fields that mean nothing here",
              kGood.with("User-Agent: x").with("Cookie: a=b").with("Sec-WebSocket-Novel: 1")),
  });
}

TEST(OpeningHandshakeTest, NeedsTheTokensOfAnUpgrade) {
  const std::pair<std::string, std::string> upgrade = {"Upgrade", "websocket"};
  expect_answered(
      426,
      {
          rfc6455("4.2.1", "no Upgrade", kGood.without("Upgrade")),
          rfc6455("4.2.1", "no Connection", kGood.without("Connection")),
          rfc6455("4.2.1", "neither", kGood.without("Upgrade").without("Connection")),
          rfc6455("4.2.1", "Connection without it", kGood.replacing("Connection", "keep-alive")),
          rfc6455("4.2.1", "empty Connection", kGood.replacing("Connection", "")),
          rfc6455("4.2.1", "Connection with a longer word",
                  kGood.replacing("Connection", "Upgraded")),
          rfc6455("4.2.1", "Connection with the word in another",
                  kGood.replacing("Connection", "Upgrade-Insecure-Requests")),
          {"RFC 6455 section 4.2.1", "a plain GET",
           "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n\r\n"},
      },
      upgrade);
  expect_answered(
      400,
      {
          rfc6455("4.2.1", "empty Upgrade", kGood.replacing("Upgrade", "")),
          rfc6455("4.2.1", "another protocol", kGood.replacing("Upgrade", "h2c")),
          rfc6455("4.2.1", "a longer word", kGood.replacing("Upgrade", "websockets")),
          rfc6455("4.2.1", "a version of it", kGood.replacing("Upgrade", "websocket/13")),
          rfc6455("4.2.1", "without commas", kGood.replacing("Upgrade", "h2c websocket")),
          rfc6455("4.2.1", "Connection in quotes", kGood.replacing("Connection", "\"Upgrade\"")),
          rfc6455("4.2.1", "Connection without commas",
                  kGood.replacing("Connection", "keep-alive Upgrade")),
      });
}

TEST(OpeningHandshakeTest, NeedsOneKeyOfSixteenBytes) {
  const auto key = [](const std::string& value) { return kGood.replacing(kKeyField, value); };
  expect_answered(
      400, {
               rfc6455("4.2.1", "no key", kGood.without(kKeyField)),
               rfc6455("4.2.1", "empty", key("")),
               rfc6455("4.2.1", "3 bytes", key("AAEC")),
               rfc6455("4.2.1", "15 bytes", key("AAECAwQFBgcICQoLDA0O")),
               rfc6455("4.2.1", "17 bytes", key("AAECAwQFBgcICQoLDA0ODxA=")),
               rfc6455("4.2.1", "18 bytes", key("AAECAwQFBgcICQoLDA0ODxAR")),
               rfc6455("4.2.1", "not base64", key("AAECAwQFBgcICQoLDA0OD!==")),
               rfc6455("4.2.1", "without padding", key("AAECAwQFBgcICQoLDA0ODw")),
               rfc6455("4.2.1", "more padding", key("AAECAwQFBgcICQoLDA0ODw===")),
               rfc6455("4.2.1", "padding in the middle", key("AAECAwQFBgcICQoLDA==DA==")),
               rfc6455("4.2.1", "white space within", key("AAECAwQFBgcI CQoLDA0ODw==")),
               rfc6455("4.2.1", "in quotes", key("\"AAECAwQFBgcICQoLDA0ODw==\"")),
               // RFC 4648 section 5 is another alphabet, 3.5 lets a reader refuse bits that mean
               // nothing.
               rfc6455("4.2.1", "the alphabet for addresses", key("-_ECAwQFBgcICQoLDA0ODw==")),
               rfc6455("4.2.1", "bits in the padding", key("AAECAwQFBgcICQoLDA0ODx==")),
               rfc6455("11.3.1", "the same key twice",
                       kGood.with(kKeyField + ": AAECAwQFBgcICQoLDA0ODw==")),
               rfc6455("11.3.1", "two keys", kGood.with(kKeyField + ": dGhlIHNhbXBsZSBub25jZQ==")),
               rfc6455("11.3.1", "an empty one as well", kGood.with(kKeyField + ":")),
               rfc6455("11.3.1", "two in one field",
                       key("AAECAwQFBgcICQoLDA0ODw==, dGhlIHNhbXBsZSBub25jZQ==")),
           });
}

TEST(OpeningHandshakeTest, NeedsVersion13) {
  std::vector<RequestCase> cases = {
      rfc6455("4.2.1", "no version", kGood.without(kVersionField)),
      rfc6455("11.3.5", "13 twice", kGood.with(kVersionField + ": 13")),
      rfc6455("11.3.5", "13 and 8", kGood.with(kVersionField + ": 8")),
  };
  for (const std::string version :
       {"",    "0",   "7",    "8",    "12",  "14",    "25",    "113",    "130",      "255", "-13",
        "+13", "013", "13.0", "0x0d", "1 3", "13, 8", "13,13", "13;q=1", "thirteen", "*"}) {
    cases.push_back(
        rfc6455("4.2.2", "version \"" + version + "\"", kGood.replacing(kVersionField, version)));
  }
  expect_answered(426, cases, {kVersionField, "13"});
}

// RFC 9110 section 15.5.22: which protocol is required; 7.8: and that this is for the next hop
// only.
TEST(OpeningHandshakeTest, NamesTheProtocolThatIsRequired) {
  for (const UpgradeRequest& request :
       {kGood.without("Upgrade"), kGood.replacing(kVersionField, "8")}) {
    TcpClient client(gateway().http());
    client.send(request.bytes());
    const HttpReply reply = HttpReply::parse(client.receive_all().value_or(""));
    EXPECT_EQ(reply.status, 426);
    EXPECT_EQ(reply.field("Upgrade"), "websocket") << reply.head;
    EXPECT_TRUE(has_option(reply.field("Connection"), "upgrade")) << reply.head;
  }
}

TEST(OpeningHandshakeTest, NeedsGetOfAResourceThatIsThere) {
  expect_answered(405,
                  {
                      rfc6455("4.1", "POST", kGood.to("POST /v1/ws HTTP/1.1")),
                      rfc6455("4.1", "PUT", kGood.to("PUT /v1/ws HTTP/1.1")),
                      rfc6455("4.1", "OPTIONS", kGood.to("OPTIONS /v1/ws HTTP/1.1")),
                      rfc6455("4.1", "get", kGood.to("get /v1/ws HTTP/1.1")),
                      rfc6455("4.1", "an unknown method", kGood.to("BREW /v1/ws HTTP/1.1")),
                  },
                  {"Allow", "GET"});
  expect_answered(404, {
                           rfc6455("4.2.2", "unknown path", kGood.to("GET / HTTP/1.1")),
                           rfc6455("4.2.2", "path with more", kGood.to("GET /v1/ws/x HTTP/1.1")),
                           rfc6455("4.2.2", "in capitals", kGood.to("GET /V1/WS HTTP/1.1")),
                       });
}

TEST(OpeningHandshakeTest, RefusesFramesBeforeTheAnswer) {
  expect_answered(400, {
                           rfc6455("4.1", "a frame", kGood.followed_by(text_frame("{}"))),
                           rfc6455("4.1", "one byte", kGood.followed_by("\x81")),
                           rfc6455("4.1", "a second request", kGood.followed_by(kGood.bytes())),
                       });
}

TEST(OpeningHandshakeTest, ChoosesASubprotocol) {
  const std::vector<std::pair<std::string, std::string>> offers = {
      {"", ""},
      {"tidegate.v1.json", "tidegate.v1.json"},
      {"tidegate.v1.proto", "tidegate.v1.proto"},
      {"tidegate.v1.json, tidegate.v1.proto", "tidegate.v1.json"},
      {"graphql-ws, tidegate.v1.proto, tidegate.v1.json", "tidegate.v1.proto"},
      {"bearer.abc,tidegate.v1.json", "tidegate.v1.json"},
      {"tidegate.v1.json\r\n" + kProtocolField + ": tidegate.v1.proto", "tidegate.v1.json"},
      {"graphql-ws\r\n" + kProtocolField + ": tidegate.v1.proto", "tidegate.v1.proto"},
  };
  for (const auto& [offered, chosen] : offers) {
    SCOPED_TRACE("RFC 6455 section 4.2.2: offered " + offered);
    WsClient client = WsClient::connect(gateway().http(), {.protocol = offered});
    EXPECT_EQ(client.reply().field(kProtocolField), chosen);
    const auto frame = client.read_frame();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->opcode, chosen == "tidegate.v1.proto" ? Opcode::kBinary : Opcode::kText);
    expect_unharmed();
  }
}

TEST(OpeningHandshakeTest, RefusesAnOfferOfNoSubprotocol) {
  expect_answered(
      400, {
               rfc6455("11.3.4", "empty", kGood.with(kProtocolField + ":")),
               rfc6455("11.3.4", "commas only", kGood.with(kProtocolField + ": ,,")),
               // Compared as they are: a subprotocol is not one of HTTP's tokens in any case.
               rfc6455("4.2.2", "in capitals", kGood.with(kProtocolField + ": TIDEGATE.V1.JSON")),
               rfc6455("4.2.2", "a longer one", kGood.with(kProtocolField + ": tidegate.v1.jsonx")),
           });
}

TEST(OpeningHandshakeTest, NegotiatesNoExtension) {
  std::vector<RequestCase> cases;
  for (const std::string offer :
       {"permessage-deflate", "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
        "permessage-deflate, permessage-deflate; server_max_window_bits=10", "permessage-bzip2",
        "x-webkit-deflate-frame", "bbf-usp-protocol", "novel; a=\"quoted\""}) {
    cases.push_back(rfc6455("9.1", offer, kGood.with(kExtensionsField + ": " + offer)));
  }
  cases.push_back(rfc6455("11.3.2", "in two fields",
                          kGood.with(kExtensionsField + ": permessage-deflate")
                              .with(kExtensionsField + ": permessage-bzip2")));
  // That the answer names none is checked in each.
  expect_upgraded(cases);
}

TEST(OpeningHandshakeTest, RefusesCompressedFramesAfterAnOffer) {
  WsClient client =
      WsClient::connect(gateway().http(), {.fields = {{kExtensionsField, "permessage-deflate"}}});
  client.expect("welcome");
  // The first text of RFC 7692 section 7.2.3.1.
  client.send_frame(Opcode::kText, std::string("\xf2\x48\xcd\xc9\xc9\x07\x00", 7),
                    {.reserved_bits = 4});
  EXPECT_EQ(client.expect_close(), 1002) << "RFC 6455 section 9.1";
  expect_unharmed();
}

}  // namespace
}  // namespace tidegate::test
