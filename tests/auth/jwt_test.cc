#include "gateway/auth/jwt.h"

#include <gtest/gtest.h>

#include "tests/auth/token_maker.h"

namespace tidegate {
namespace {

using test::base64url;

constexpr std::string_view kHeader = R"({"alg":"ES256","typ":"JWT","kid":"k1"})";
constexpr std::string_view kPayload = R"({"iss":"me","sub":"ann","exp":1})";

std::string joined(std::string_view header, std::string_view payload) {
  return base64url(header) + "." + base64url(payload) + ".AAAA";
}

TEST(JwtTest, TakesATokenApart) {
  const std::string token = joined(kHeader, kPayload);
  const Result<Jwt> jwt = parse_jwt(token);
  ASSERT_TRUE(jwt) << jwt.error().message;
  EXPECT_EQ(jwt->algorithm, Algorithm::kEs256);
  EXPECT_EQ(jwt->kid, "k1");
  EXPECT_EQ(jwt->issuer, "me");
  EXPECT_EQ(jwt->payload, kPayload);
  EXPECT_EQ(jwt->signature, std::string(3, '\0'));
  EXPECT_EQ(jwt->signed_bytes, token.substr(0, token.size() - 5));
}

TEST(JwtTest, AcceptsEveryHeaderThatMeansTheSame) {
  for (std::string_view header :
       {R"({"alg":"RS256"})", R"({"alg":"EdDSA","typ":"jwt"})", R"({"alg":"HS256","typ":"at+JWT"})",
        R"({"alg":"PS512","other":{"a":[1]}})", R"({"\u0061lg":"RS256"})",
        R"( {"alg":"RS384"} )"}) {
    EXPECT_TRUE(parse_jwt(joined(header, kPayload))) << header;
  }
}

struct RefusedHeader {
  std::string_view header;
  std::string_view message;  // a part of it
};

TEST(JwtTest, RefusesHeaders) {
  const std::string long_kid = R"({"alg":"RS256","kid":")" + std::string(129, 'k') + "\"}";
  const std::string huge_kid = R"({"alg":"RS256","kid":")" + std::string(5'000, 'k') + "\"}";
  const RefusedHeader cases[] = {
      {R"({"alg":"none"})", "algorithm is not supported"},
      {R"({"alg":"None"})", "algorithm is not supported"},
      {R"({"alg":"nOnE"})", "algorithm is not supported"},
      {R"({"alg":"NONE"})", "algorithm is not supported"},
      {R"({"alg":""})", "algorithm is not supported"},
      {R"({"alg":"rs256"})", "algorithm is not supported"},
      {R"({"alg":"HS512"})", "algorithm is not supported"},
      {R"({"alg":["RS256"]})", "algorithm is not supported"},
      {R"({"alg":null})", "algorithm is not supported"},
      {R"({"typ":"JWT"})", "no \"alg\""},
      {R"({"alg":"RS256","typ":"JWE"})", "\"typ\""},
      {R"({"alg":"RS256","typ":7})", "\"typ\""},
      {R"({"alg":"RS256","kid":["a"]})", "\"kid\""},
      {R"({"alg":"RS256","kid":""})", "\"kid\""},
      {R"({"alg":"RS256","kid":"a\nb"})", "\"kid\""},
      {long_kid, "\"kid\""},
      {huge_kid, "\"kid\""},
      {R"({"alg":"RS256","jku":"https://evil"})", "must not have \"jku\""},
      {R"({"alg":"RS256","x5u":"https://evil"})", "must not have \"x5u\""},
      {R"({"alg":"RS256","jwk":{}})", "must not have \"jwk\""},
      {R"({"alg":"RS256","x5c":[]})", "must not have \"x5c\""},
      {R"({"alg":"RS256","x5t":""})", "must not have \"x5t\""},
      {R"({"alg":"RS256","x5t#S256":""})", "must not have \"x5t#S256\""},
      {R"({"alg":"RS256","crit":["exp"]})", "must not have \"crit\""},
      {R"({"alg":"RS256","zip":"DEF"})", "must not have \"zip\""},
      {R"({"alg":"RS256","b64":false})", "must not have \"b64\""},
      {R"({"alg":"RS256","enc":"A128GCM"})", "must not have \"enc\""},
      {R"({"alg":"RS256","cty":"JWT"})", "must not have \"cty\""},
      {R"({"alg":"none","alg":"RS256"})", "one name twice"},
      {R"({"alg":"RS256","\u0061lg":"RS256"})", "one name twice"},
      {R"({"alg":"RS256","x":{"a":1,"a":2}})", "one name twice"},
      {R"({"alg":"RS256","x":[[[[[[[[]]]]]]]]})", "deeply nested"},
      {R"(["RS256"])", "not an object"},
      {R"({"alg":"RS256"} x)", "not valid JSON"},
      {"\xef\xbb\xbf{\"alg\":\"RS256\"}", "not valid JSON"},
      {"", "not valid JSON"}};
  for (const auto& [header, message] : cases) {
    const Result<Jwt> jwt = parse_jwt(joined(header, kPayload));
    ASSERT_FALSE(jwt) << header;
    EXPECT_EQ(jwt.error().code, Code::kUnauthenticated) << header;
    EXPECT_NE(jwt.error().message.find(message), std::string::npos) << jwt.error().message;
  }
}

TEST(JwtTest, RefusesPayloads) {
  const std::string deep =
      R"({"iss":"me","x":)" + std::string(100, '[') + std::string(100, ']') + "}";
  const std::string long_issuer = R"({"iss":")" + std::string(257, 'i') + "\"}";
  for (std::string_view payload :
       {std::string_view(R"({"iss":"me","exp":1,"exp":2})"), std::string_view(deep),
        std::string_view(R"({"iss":"me","tidegate":{"admin":false,"admin":true}})"),
        std::string_view(R"({"sub":"ann"})"), std::string_view(R"({"iss":7})"),
        std::string_view(R"({"iss":""})"), std::string_view(R"({"iss":["me"]})"),
        std::string_view(long_issuer), std::string_view(R"("me")"), std::string_view(""),
        std::string_view("{\"iss\":\"m\xff\"}")}) {
    EXPECT_EQ(parse_jwt(joined(kHeader, payload)).error().code, Code::kUnauthenticated) << payload;
  }
}

TEST(JwtTest, RefusesEveryOtherShape) {
  const std::string good = joined(kHeader, kPayload);
  const std::string header = base64url(kHeader);
  const std::string body = header + "." + base64url(kPayload);
  const std::string large =
      joined(kHeader, R"({"iss":"me","x":")" + std::string(6'800, 'x') + "\"}");
  ASSERT_GT(large.size(), kTokenBytesMax);
  for (const std::string& token : std::vector<std::string>{"",
                                                           ".",
                                                           "..",
                                                           "...",
                                                           header,
                                                           body,
                                                           good + ".",
                                                           "." + good,
                                                           good + ".AAAA",
                                                           body + ".AAAA.AAAA.AAAA",
                                                           " " + good,
                                                           good + " ",
                                                           good + "\n",
                                                           body + ".AA==",
                                                           body + ".AB",
                                                           body + ".A+/A",
                                                           body + ".AAAAA",
                                                           header + ".." + "AAAA",
                                                           "." + base64url(kPayload) + ".AAAA",
                                                           large,
                                                           std::string(1'000'000, '.')}) {
    const Result<Jwt> jwt = parse_jwt(token);
    ASSERT_FALSE(jwt) << token.substr(0, 100);
    EXPECT_EQ(jwt.error().code, Code::kUnauthenticated);
  }
  EXPECT_NE(parse_jwt(body + ".AAAA.AAAA.AAAA").error().message.find("JWE"), std::string::npos);
}

}  // namespace
}  // namespace tidegate
