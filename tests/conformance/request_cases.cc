#include "tests/conformance/request_cases.h"

#include <optional>
#include <sstream>
#include <strings.h>

#include <gtest/gtest.h>

#include "tests/conformance/peer.h"

namespace tidegate::test {
namespace {

std::string trace_of(const RequestCase& item) {
  return item.rule + ": " + item.name;
}

// Up to the end of the head; what follows is in the reply's body.
HttpReply read_head(TcpClient& client) {
  std::string bytes;
  while (bytes.find("\r\n\r\n") == std::string::npos) {
    const auto more = client.receive();
    if (!more || more->empty()) break;
    bytes += *more;
  }
  return HttpReply::parse(bytes);
}

void expect_switched(const HttpReply& reply, TcpClient& client) {
  ASSERT_EQ(reply.status, 101) << reply.head << reply.body;
  EXPECT_EQ(strcasecmp(reply.field("Upgrade").c_str(), "websocket"), 0);
  EXPECT_TRUE(has_option(reply.field("Connection"), "upgrade"));
  EXPECT_EQ(reply.field("Sec-WebSocket-Accept").size(), 28U);
  EXPECT_EQ(reply.field("Sec-WebSocket-Extensions"), "");
  EXPECT_EQ(reply.field("Content-Length"), "");
  EXPECT_EQ(reply.field("Transfer-Encoding"), "");
  client.send(close_bytes(1000));
  const std::string frames = reply.body + client.receive_all().value_or("");
  EXPECT_TRUE(frames.ends_with(std::string("\x88\x02\x03\xe8"))) << "no closing handshake";
}

}  // namespace

bool has_option(const std::string& list, const std::string& option) {
  std::istringstream elements(list);
  std::string element;
  while (std::getline(elements, element, ',')) {
    const std::size_t begin = element.find_first_not_of(' ');
    const std::size_t end = element.find_last_not_of(' ');
    if (begin == std::string::npos) continue;
    if (strcasecmp(element.substr(begin, end + 1 - begin).c_str(), option.c_str()) == 0)
      return true;
  }
  return false;
}

std::vector<std::string> expect_upgraded(const std::vector<RequestCase>& cases) {
  std::vector<std::string> heads;
  for (const RequestCase& good : cases) {
    SCOPED_TRACE(trace_of(good));
    TcpClient client(gateway().http());
    client.send(good.bytes);
    const HttpReply reply = read_head(client);
    heads.push_back(reply.head);
    expect_switched(reply, client);
    expect_unharmed();
  }
  return heads;
}

void expect_answered(int status, const std::vector<RequestCase>& cases,
                     const std::pair<std::string, std::string>& field) {
  constexpr std::string_view kRefused = "a request was refused";
  const std::string counter =
      "tidegate_connections_refused_total{status=\"" + std::to_string(status) + "\"}";
  const double counted = metric(gateway(), counter);
  for (const RequestCase& bad : cases) {
    SCOPED_TRACE(trace_of(bad));
    const std::size_t logged = log_lines(gateway(), kRefused);
    TcpClient client(gateway().http());
    client.send(bad.bytes);
    const HttpReply reply = HttpReply::parse(client.receive_all().value_or(""));
    EXPECT_FALSE(client.was_reset());
    EXPECT_EQ(reply.status, status) << reply.head << reply.body;
    EXPECT_TRUE(has_option(reply.field("Connection"), "close")) << reply.head;
    EXPECT_EQ(reply.field("Content-Length"), std::to_string(reply.body.size()));
    EXPECT_EQ(reply.field("Content-Type"), "application/problem+json");
    if (!field.first.empty()) {
      EXPECT_EQ(reply.field(field.first), field.second) << reply.head;
    }
    EXPECT_EQ(log_lines(gateway(), kRefused), logged + 1);
    expect_unharmed();
  }
  EXPECT_EQ(metric(gateway(), counter), counted + static_cast<double>(cases.size()));
}

}  // namespace tidegate::test
