#include "gateway/auth/key_set.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/auth/test_keys.h"

namespace tidegate {
namespace {

using test::jwks;
using test::test_key;

// {kty and numbers of the key, and what `more` adds}.
std::string with(const test::TestKey& key, std::string_view more) {
  return fmt::format("{{{}{}}}", key.jwk_members, more);
}

TEST(KeySetTest, FindsByKid) {
  const Result<KeySet> keys = KeySet::from_jwks(
      jwks({test_key(Algorithm::kRs256).jwk("r"), test_key(Algorithm::kEs256).jwk("e")}));
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->size(), 2U);
  EXPECT_EQ(keys->find("r", Algorithm::kRs256)->algorithm(), Algorithm::kRs256);
  EXPECT_EQ(keys->find("e", Algorithm::kRs256)->algorithm(), Algorithm::kEs256)
      << "the caller compares the algorithms";
  EXPECT_EQ(keys->find("x", Algorithm::kRs256), nullptr);
  for (std::string_view kid : {"../../dev/null", "r' OR '1'='1", "", "R"}) {
    EXPECT_EQ(keys->find(std::string(kid), Algorithm::kRs256), nullptr) << kid;
  }
}

TEST(KeySetTest, WithoutKidOnlyTheOnlyKeyOfTheAlgorithm) {
  const Result<KeySet> keys = KeySet::from_jwks(
      jwks({with(test_key(Algorithm::kEs256), ""), test_key(Algorithm::kEs256, 1).jwk("e"),
            test_key(Algorithm::kEdDsa).jwk("d")}));
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_NE(keys->find(std::nullopt, Algorithm::kEdDsa), nullptr);
  EXPECT_EQ(keys->find(std::nullopt, Algorithm::kEs256), nullptr) << "there are two";
  EXPECT_EQ(keys->find(std::nullopt, Algorithm::kRs256), nullptr) << "there is none";
}

TEST(KeySetTest, AKeyWithoutAlgGetsTheNaturalOne) {
  for (Algorithm natural : {Algorithm::kRs256, Algorithm::kEs256, Algorithm::kEs384,
                            Algorithm::kEdDsa, Algorithm::kHs256}) {
    const Result<KeySet> keys = KeySet::from_jwks(jwks({with(test_key(natural), "")}));
    ASSERT_TRUE(keys) << keys.error().message;
    EXPECT_NE(keys->find(std::nullopt, natural), nullptr) << algorithm_info(natural).name;
    EXPECT_EQ(keys->has_secrets(), natural == Algorithm::kHs256);
  }
}

TEST(KeySetTest, KeysFromJwkVerify) {
  for (Algorithm algorithm : kAlgorithms) {
    const test::TestKey& made = test_key(algorithm);
    const Result<KeySet> keys = KeySet::from_jwks(jwks({made.jwk("k")}));
    ASSERT_TRUE(keys) << keys.error().message;
    EXPECT_TRUE(keys->find("k", algorithm)->verify("x", *made.signing().sign("x")));
  }
}

TEST(KeySetTest, PassesOverKeysOfOtherPurposesAndKinds) {
  const std::string good = test_key(Algorithm::kEs256).jwk("good");
  const test::TestKey& key = test_key(Algorithm::kEs256, 1);
  for (const std::string& other :
       {with(key, R"(,"use":"enc")"), with(key, R"(,"key_ops":["encrypt"])"),
        with(key, R"(,"key_ops":[])"), with(key, R"(,"alg":"ECDH-ES")"),
        with(test_key(Algorithm::kRs256), R"(,"alg":"RSA-OAEP","kid":"good")"),
        std::string(R"({"kty":"EC","crv":"P-521","x":"AA","y":"AA"})"),
        std::string(R"({"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"})"),
        std::string(R"({"kty":"EC"})"), std::string(R"({"kty":"OKP","crv":"X25519","x":"AA"})"),
        std::string(R"({"kty":"AKP","pub":"AA"})"), std::string(R"({"kty":"rsa"})")}) {
    const Result<KeySet> keys = KeySet::from_jwks(jwks({other, good}));
    ASSERT_TRUE(keys) << other << ": " << keys.error().message;
    EXPECT_EQ(keys->size(), 1U) << other;
    EXPECT_FALSE(KeySet::from_jwks(jwks({other}))) << "no usable key is left";
  }
  EXPECT_EQ(
      KeySet::from_jwks(jwks({with(key, R"(,"use":"sig","key_ops":["sign","verify"])")}))->size(),
      1U);
}

TEST(KeySetTest, RefusesTheWholeDocument) {
  const test::TestKey& ec = test_key(Algorithm::kEs256);
  const test::TestKey& rsa = test_key(Algorithm::kRs256);
  const std::string good = ec.jwk("k");
  const std::string n(342, 'A');
  const std::pair<std::string, std::string> cases[] = {
      {jwks({good, good}), "\"kid\" is that of another"},
      {jwks({with(ec, R"(,"d":"AA")")}), "private key"},
      {jwks({with(rsa, R"(,"use":"enc","d":"AA")")}), "private key"},
      {jwks({with(rsa, R"(,"p":"AA")")}), "private key"},
      {jwks({with(rsa, R"(,"alg":"ES256")")}), "\"alg\" is ES256"},
      {jwks({with(rsa, R"(,"alg":"HS256")")}), "\"alg\" is HS256"},
      {jwks({with(ec, R"(,"alg":"ES384")")}), "\"alg\" is ES384"},
      {jwks({with(ec, R"(,"kid":7)")}), "\"kid\" must be a string"},
      {jwks({with(ec, R"(,"kid":"")")}), "\"kid\" must have"},
      {jwks({with(ec, R"(,"kid":")" + std::string(129, 'k') + "\"")}), "\"kid\" must have"},
      {jwks({with(ec, R"(,"use":["sig"])")}), "\"use\" must be a string"},
      {jwks({with(ec, R"(,"key_ops":"verify")")}), "\"key_ops\" must be"},
      {jwks({with(ec, R"(,"key_ops":[1])")}), "\"key_ops\" must hold"},
      {jwks({R"({"alg":"RS256"})"}), "\"kty\" is missing"},
      {jwks({R"({"kty":"RSA","e":"AQAB"})"}), "\"n\" is missing"},
      {jwks({R"({"kty":"RSA","n":"AA==","e":"AQAB"})"}), "\"n\" must be base64url"},
      {jwks({R"({"kty":"RSA","n":"","e":"AQAB"})"}), "not a valid"},
      {jwks({R"({"kty":"RSA","n":")" + n + R"(","e":"AQAB"})"}), "not a valid"},
      {jwks({fmt::format("{{{}}}", test::rsa_pem(1024).jwk_members)}), "1024 bits"},
      {jwks({R"({"kty":"oct","k":"c2hvcnQ"})"}), "at least 32"},
      {jwks({R"({"kty":"OKP","crv":"Ed25519","x":"AAAA"})"}), "has 32 bytes"},
      {jwks({R"({"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"})"}), "must have 32 bytes"},
      {jwks({fmt::format(R"({{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}})",
                         test::base64url(std::string(32, '\x01')))}),
       "not on the curve"},
      {jwks({fmt::format(R"({{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}})",
                         test::base64url(std::string(32, '\0')))}),
       "not on the curve"},
      {jwks({"7"}), "not an object"},
      {jwks({}), "no key that can verify"},
      {R"({"keys":{}})", "no array"},
      {R"({"Keys":[]})", "no array"},
      {R"([])", "not an object"},
      {"", "not valid JSON"},
      {R"({"keys":[],"keys":[]})", "one name twice"},
      {jwks({with(ec, R"(,"kty":"EC")")}), "one name twice"},
      {jwks({good}) + "x", "not valid JSON"},
      {jwks({good}) + std::string(kKeyDocumentBytesMax, ' '), "larger than"}};
  for (const auto& [json, message] : cases) {
    const Result<KeySet> keys = KeySet::from_jwks(json);
    ASSERT_FALSE(keys) << json;
    EXPECT_EQ(keys.error().code, Code::kBadArgument);
    EXPECT_NE(keys.error().message.find(message), std::string::npos) << keys.error().message << "\n"
                                                                     << json;
  }
}

// The exponent 1 signs nothing: every text is its own signature.
TEST(KeySetTest, RefusesRsaExponentsThatAreEvenOrOneOrHuge) {
  const std::string& members = test_key(Algorithm::kRs256).jwk_members;
  const std::string n = members.substr(0, members.find(R"(,"e":)"));
  for (std::string_view exponent : {"AQ", "AA", "Ag", "BA", "AQAAAAAAAAAB", ""}) {
    const std::string jwk = fmt::format(R"({{{},"e":"{}"}})", n, exponent);
    EXPECT_FALSE(KeySet::from_jwks(jwks({jwk}))) << exponent;
  }
  EXPECT_TRUE(KeySet::from_jwks(jwks({fmt::format(R"({{{},"e":"AQAB"}})", n)})));
}

TEST(KeySetTest, APemKeyIsFoundWithAnyKid) {
  const Result<KeySet> keys =
      KeySet::from_pem(test_key(Algorithm::kEs384).public_pem, {Algorithm::kEs384});
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->find("any", Algorithm::kEs384)->algorithm(), Algorithm::kEs384);
  EXPECT_NE(keys->find(std::nullopt, Algorithm::kRs256), nullptr);
}

}  // namespace
}  // namespace tidegate
