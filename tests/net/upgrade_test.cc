// The answer to an upgrade; what is refused is tested over a socket (tests/conformance,
// tests/e2e/handshake_test).

#include "gateway/net/upgrade.h"

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

TEST(UpgradeTest, AnswersWithTheKeysHash) {
  // The example of RFC 6455 section 1.3.
  const std::string answer = upgrade_answer({.key = "dGhlIHNhbXBsZSBub25jZQ=="});
  EXPECT_NE(answer.find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 "));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
  EXPECT_EQ(answer.find("Sec-WebSocket-Protocol"), std::string::npos);
}

TEST(UpgradeTest, NamesTheProtocolThatWasChosen) {
  const std::string answer = upgrade_answer({.key = "dGhlIHNhbXBsZSBub25jZQ==",
                                             .form = WireForm::kProto,
                                             .protocol = "tidegate.v1.proto"});
  EXPECT_NE(answer.find("\r\nSec-WebSocket-Protocol: tidegate.v1.proto\r\n"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::test
