// RFC 9110 and 9112: what an HTTP/1.1 request looks like, whatever it asks for. Doubt is how
// requests are smuggled past a proxy, so where a server may choose between repair and refusal, we
// refuse.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/conformance/peer.h"
#include "tests/conformance/request_cases.h"

namespace tidegate::test {
namespace {

RequestCase rfc9110(const std::string& section, const std::string& name,
                    const UpgradeRequest& request) {
  return {"RFC 9110 section " + section, name, request.bytes()};
}
RequestCase rfc9112(const std::string& section, const std::string& name,
                    const UpgradeRequest& request) {
  return {"RFC 9112 section " + section, name, request.bytes()};
}

TEST(HttpRequestTest, TakesWhatIsAllowed) {
  UpgradeRequest no_space = kGood;
  for (std::string& field : no_space.fields) field.erase(field.find(": ") + 1, 1);
  UpgradeRequest much_space = kGood;
  for (std::string& field : much_space.fields) field.insert(field.find(": ") + 1, " \t ") += " \t";
  expect_upgraded({
      rfc9112("5.1", "no white space after the colon", no_space),
      rfc9112("5.1", "white space around values", much_space),
      rfc9112("5.1", "an empty value", kGood.with("X:")),
      rfc9110("5.1", "every character of a name", kGood.with("!#$%&'*+-.^_`|~09azAZ: x")),
      rfc9110("5.3", "the same unknown field twice", kGood.with("X: a").with("X: b")),
      rfc9110("5.5", "bytes above ASCII in a value", kGood.with("X: caf\xc3\xa9 \xff")),
      rfc9110("5.5", "tabs and colons in a value", kGood.with("X: a\tb:c")),
      rfc9110("5.6.1", "empty elements of a list",
              kGood.replacing("Connection", ", ,keep-alive,, Upgrade,")
                  .replacing("Upgrade", ",websocket,,")),
      rfc9110("7.2", "Host with a port", kGood.replacing("Host", "127.0.0.1:7080")),
      rfc9110("7.2", "Host with an IPv6 address", kGood.replacing("Host", "[::1]:7080")),
      rfc9110("7.2", "Host with a name", kGood.replacing("Host", "localhost:7080")),
      rfc9110("7.2", "Host with a name in capitals", kGood.replacing("Host", "LOCALHOST")),
      rfc9110("7.2", "Host with an empty port", kGood.replacing("Host", "127.0.0.1:")),
  });
}

TEST(HttpRequestTest, NeedsARequestLine) {
  expect_answered(
      400, {
               rfc9112("2.3", "HTTP/1.0", kGood.to("GET /v1/ws HTTP/1.0")),
               rfc9112("2.3", "HTTP/0.9", kGood.to("GET /v1/ws HTTP/0.9")),
               rfc9112("2.3", "HTTP/2.0", kGood.to("GET /v1/ws HTTP/2.0")),
               rfc9112("2.3", "http in lower case", kGood.to("GET /v1/ws http/1.1")),
               rfc9112("2.3", "HTTPS", kGood.to("GET /v1/ws HTTPS/1.1")),
               rfc9112("2.3", "version with two digits", kGood.to("GET /v1/ws HTTP/1.10")),
               rfc9112("2.3", "version cut off", kGood.to("GET /v1/ws HTTP/1.")),
               rfc9112("3", "no version", kGood.to("GET /v1/ws")),
               rfc9112("3", "no target", kGood.to("GET HTTP/1.1")),
               rfc9112("3", "no method", kGood.to("/v1/ws HTTP/1.1")),
               rfc9112("3", "empty method", kGood.to(" /v1/ws HTTP/1.1")),
               rfc9112("3", "two spaces before the target", kGood.to("GET  /v1/ws HTTP/1.1")),
               rfc9112("3", "two spaces before the version", kGood.to("GET /v1/ws  HTTP/1.1")),
               rfc9112("3", "a tab for a space", kGood.to("GET\t/v1/ws HTTP/1.1")),
               rfc9112("3", "something after the version", kGood.to("GET /v1/ws HTTP/1.1 x")),
               rfc9112("3.1", "method that is no token", kGood.to("G(T /v1/ws HTTP/1.1")),
               rfc9112("3.2", "white space in the target", kGood.to("GET /v1 /ws HTTP/1.1")),
               rfc9112("3.2", "a relative target", kGood.to("GET v1/ws HTTP/1.1")),
               rfc9112("3.2", "asterisk for a GET", kGood.to("GET * HTTP/1.1")),
           });
}

TEST(HttpRequestTest, NeedsOneHost) {
  const auto host = [](const std::string& value) { return kGood.replacing("Host", value); };
  expect_answered(400,
                  {
                      rfc9112("3.2", "no Host", kGood.without("Host")),
                      rfc9112("3.2", "the same twice", kGood.with("Host: 127.0.0.1")),
                      rfc9112("3.2", "two", kGood.with("Host: localhost")),
                      rfc9112("3.2", "an empty one as well", kGood.with("Host:")),
                      rfc9112("3.2", "in another case as well", kGood.with("hOST: localhost")),
                      rfc9112("3.2", "two in one field", host("127.0.0.1, localhost")),
                      rfc9112("3.2", "two in one field, no comma", host("127.0.0.1 localhost")),
                      rfc9112("3.2", "a whole address", host("http://127.0.0.1")),
                      rfc9112("3.2", "a path", host("127.0.0.1/v1")),
                      rfc9112("3.2", "a user", host("user@127.0.0.1")),
                      rfc9112("3.2", "a port of letters", host("127.0.0.1:http")),
                      rfc9112("3.2", "two ports", host("127.0.0.1:80:80")),
                      rfc9112("3.2", "an open bracket", host("[::1")),
                      rfc9112("3.2", "text after the bracket", host("[::1]x")),
                  });
}

TEST(HttpRequestTest, RefusesBadFields) {
  expect_answered(
      400, {
               rfc9112("2.2", "bare CR in a value", kGood.with("X: a\rb")),
               rfc9112("2.2", "bare CR in the first line", kGood.to("GET /v1/ws\r HTTP/1.1")),
               rfc9112("2.2", "white space before the first field",
                       [] {
                         UpgradeRequest request = kGood;
                         request.fields.insert(request.fields.begin(), " X: a");
                         return request;
                       }()),
               rfc9112("5", "no colon", kGood.with("X")),
               rfc9112("5", "no name", kGood.with(": x")),
               rfc9112("5.1", "space before the colon", kGood.with("X : a")),
               rfc9112("5.1", "tab before the colon", kGood.with("X\t: a")),
               rfc9110("5.1", "space in a name", kGood.with("X Y: a")),
               rfc9110("5.1", "bracket in a name", kGood.with("X(Y): a")),
               rfc9110("5.1", "byte above ASCII in a name", kGood.with("caf\xc3\xa9: a")),
               rfc9112("5.2", "value folded by a space", kGood.with("X: a\r\n b")),
               rfc9112("5.2", "value folded by a tab", kGood.with("X: a\r\n\tb")),
               rfc9112("5.2", "fold of an empty value", kGood.with("X:\r\n b")),
               rfc9110("5.5", "NUL", kGood.with(std::string("X: a\0b", 6))),
               rfc9110("5.5", "a control character", kGood.with("X: a\x01")),
               rfc9110("5.5", "DEL", kGood.with("X: a\x7f")),
               rfc9110("5.5", "NUL in a name", kGood.with(std::string("X\0: a", 5))),
               rfc9110("5.5", "escape in the target", kGood.to("GET /v1/ws?\x1b HTTP/1.1")),
           });
}

TEST(HttpRequestTest, RefusesABody) {
  const UpgradeRequest sized = kGood.with("Content-Length: 5");
  expect_answered(
      400, {
               rfc9112("6.2", "a length", sized),
               rfc9112("6.3", "a length that is no number", kGood.with("Content-Length: five")),
               rfc9112("6.3", "a negative length", kGood.with("Content-Length: -1")),
               rfc9112("6.3", "a length beyond 64 bits",
                       kGood.with("Content-Length: 18446744073709551616")),
               rfc9112("6.3", "two lengths", sized.with("Content-Length: 6")),
               rfc9112("6.3", "two lengths in one field", kGood.with("Content-Length: 5, 6")),
               rfc9112("6.1", "chunked", kGood.with("Transfer-Encoding: chunked")),
               rfc9112("6.3", "gzip, not chunked", kGood.with("Transfer-Encoding: gzip")),
               rfc9112("6.3", "chunked, then gzip", kGood.with("Transfer-Encoding: chunked, gzip")),
               rfc9112("6.1", "an unknown coding", kGood.with("Transfer-Encoding: xchunked")),
               rfc9112("6.1", "length, then chunked", sized.with("Transfer-Encoding: chunked")),
               rfc9112("6.1", "chunked, then length",
                       kGood.with("Transfer-Encoding: chunked").with("Content-Length: 5")),
           });
}

// RFC 9110 section 9.3.2: as GET, without content.
TEST(HttpRequestTest, AnswersHeadWithoutContent) {
  TcpClient client(gateway().http());
  client.send("HEAD /v1/ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const HttpReply reply = HttpReply::parse(client.receive_all().value_or(""));
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.body, "");
  expect_unharmed();
}

// RFC 9110 section 6.6.1: a server with a clock says when it answered.
TEST(HttpRequestTest, SaysWhenItRefused) {
  const HttpReply reply = http_get(gateway().http(), "/nothing");
  EXPECT_EQ(reply.status, 404);
  // "Sun, 06 Nov 1994 08:49:37 GMT"
  const std::string date = reply.field("Date");
  ASSERT_EQ(date.size(), 29U) << reply.head;
  EXPECT_EQ(date.substr(3, 2), ", ");
  EXPECT_TRUE(date.ends_with(" GMT"));
  expect_unharmed();
}

}  // namespace
}  // namespace tidegate::test
