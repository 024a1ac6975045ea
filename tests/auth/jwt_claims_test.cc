#include "gateway/auth/jwt_claims.h"

#include <gtest/gtest.h>

#include "tests/auth/token_maker.h"

namespace tidegate {
namespace {

// The claims that every token needs, and `more`.
Result<JwtClaims> parsed(std::string_view more) {
  return parse_claims(R"({"iss":"me","sub":"ann","exp":100)" + std::string(more) + "}");
}

TEST(JwtClaimsTest, ComeBackFromTheirJson) {
  JwtClaims claims = test::good_claims();
  EXPECT_EQ(*parse_claims(to_json(claims)), claims);
  claims.audience = {"a", "b"};
  claims.grants = Grants();
  claims.grants.is_admin = true;
  claims.not_before_s.reset();
  claims.issued_at_s.reset();
  claims.jti.clear();
  claims.subject = "Zoë \"the\" \\ 𝄞";
  EXPECT_EQ(*parse_claims(to_json(claims)), claims);
}

TEST(JwtClaimsTest, IgnoreWhatTheyDoNotKnow) {
  const Result<JwtClaims> claims =
      parsed(R"(,"scope":"x","email":null,"tidegate":{"future":[{"a":1}],"subscribe":["a.*"]})");
  ASSERT_TRUE(claims) << claims.error().message;
  ASSERT_EQ(claims->grants.subscribe.size(), 1U);
  EXPECT_EQ(claims->grants.subscribe[0].text(), "a.*");
  EXPECT_TRUE(claims->grants.publish.empty());
  EXPECT_FALSE(claims->grants.is_admin);
}

TEST(JwtClaimsTest, AnAudienceIsATextOrSeveral) {
  EXPECT_EQ(parsed(R"(,"aud":"x")")->audience, std::vector<std::string>{"x"});
  EXPECT_EQ(parsed(R"(,"aud":["x","y"])")->audience, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(parsed(R"(,"aud":[])")->audience.empty());
  for (std::string_view aud : {"7", "null", "{}", R"(["x",7])", R"([["x"]])"}) {
    EXPECT_FALSE(parsed(R"(,"aud":)" + std::string(aud))) << aud;
  }
}

TEST(JwtClaimsTest, TimesAreWholeSecondsHoweverTheyAreWritten) {
  const auto issued_at = [](std::string_view text) -> std::optional<std::int64_t> {
    const Result<JwtClaims> claims = parsed(R"(,"iat":)" + std::string(text));
    return claims ? claims->issued_at_s : std::nullopt;
  };
  EXPECT_EQ(issued_at("1700000000"), 1'700'000'000);
  EXPECT_EQ(issued_at("1700000000.0"), 1'700'000'000);
  EXPECT_EQ(issued_at("1.7e9"), 1'700'000'000);
  EXPECT_EQ(issued_at("0"), 0);
  EXPECT_EQ(issued_at("253402300799"), 253'402'300'799);
  for (std::string_view text :
       {"1700000000.5", "-1", "253402300800", "9223372036854775808", "18446744073709551616",
        "1e400", "\"1700000000\"", "null", "true", "[1]", "{}"}) {
    EXPECT_EQ(issued_at(text), std::nullopt) << text;
  }
}

TEST(JwtClaimsTest, RefusesWrongTypesAndNamesThem) {
  const std::string long_subject(257, 's');
  const std::pair<std::string, std::string> cases[] = {
      {R"({"sub":"ann","exp":1})", "\"iss\" is missing"},
      {R"({"iss":"me","exp":1})", "\"sub\" is missing"},
      {R"({"iss":"me","sub":"ann"})", "\"exp\" is missing"},
      {R"({"iss":"me","sub":"ann","exp":"1"})", "\"exp\" must be"},
      {R"({"iss":"me","sub":"ann","exp":null})", "\"exp\" must be"},
      {R"({"iss":"me","sub":7,"exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"a\u0000b","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"a\u0085b","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"a\u202eb","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"a\u2066b","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"a\u007fb","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":")" + long_subject + R"(","exp":1})", "\"sub\" must be"},
      {R"({"iss":"me","sub":"ann","exp":1,"jti":7})", "\"jti\" must be"},
      {R"({"iss":"me","sub":"ann","exp":1,"jti":")" + std::string(129, 'j') + "\"}",
       "\"jti\" must be"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":[]})", "\"tidegate\" must be"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":null})", "\"tidegate\" must be"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":{"subscribe":"a"}})", "tidegate.subscribe"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":{"subscribe":[7]}})", "tidegate.subscribe"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":{"publish":["a.>.b"]}})", "tidegate.publish"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":{"publish":[""]}})", "tidegate.publish"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":{"admin":1}})", "tidegate.admin"},
      {R"({"iss":"me","sub":"ann","exp":1,"tidegate":{"admin":"true"}})", "tidegate.admin"},
      {R"([])", "not an object"},
      {R"({"iss":"me","sub":"ann","exp":1,"exp":2})", "one name twice"}};
  for (const auto& [json, message] : cases) {
    const Result<JwtClaims> claims = parse_claims(json);
    ASSERT_FALSE(claims) << json;
    EXPECT_EQ(claims.error().code, Code::kUnauthenticated);
    EXPECT_NE(claims.error().message.find(message), std::string::npos) << claims.error().message;
  }
}

TEST(JwtClaimsTest, SixtyFourPatternsAreAllowedEach) {
  std::string patterns = "\"a\"";
  for (std::size_t i = 1; i < kGrantPatternsMax; ++i) patterns += ",\"a\"";
  EXPECT_EQ(parsed(R"(,"tidegate":{"publish":[)" + patterns + "]}")->grants.publish.size(), 64U);
  EXPECT_FALSE(parsed(R"(,"tidegate":{"publish":[)" + patterns + ",\"a\"]}"));
}

}  // namespace
}  // namespace tidegate
