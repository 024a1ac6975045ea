#include "gateway/auth/key_file.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/auth/token_maker.h"
#include "tests/support/temp_dir.h"

namespace tidegate {
namespace {

using test::jwks;
using test::test_key;

class KeyFileTest : public testing::Test {
 protected:
  std::string file(const std::string& text, unsigned mode = 0600) const {
    const std::string path = dir_.file("keys");
    test::write_file(path, text);
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }

  const test::TempDir dir_;
};

TEST_F(KeyFileTest, ItsContentDecidesWhatItIs) {
  const test::TestKey& key = test_key(Algorithm::kEs256);
  EXPECT_TRUE(load_key_set(file(jwks({key.jwk("k")}), 0644), {}));
  EXPECT_TRUE(load_key_set(file("\n " + jwks({key.jwk("k")})), {}));
  EXPECT_TRUE(load_key_set(file(key.public_pem, 0644), {}));
  EXPECT_TRUE(load_key_set(file(key.certificate_pem), {Algorithm::kEs256}));
  for (const std::string& text :
       {std::string("a secret of some forty bytes, written barely"), std::string(),
        std::string("["), std::string("ssh-ed25519 AAAA"), key.jwk("k").substr(1)}) {
    const Result<KeySet> keys = load_key_set(file(text), {});
    ASSERT_FALSE(keys) << text;
    EXPECT_NE(keys.error().message.find("\"oct\""), std::string::npos) << keys.error().message;
  }
}

TEST_F(KeyFileTest, ASecretIsForItsOwnerOnly) {
  const std::string secret = jwks({test_key(Algorithm::kHs256).jwk("s")});
  EXPECT_TRUE(load_key_set(file(secret, 0600), {}));
  EXPECT_TRUE(load_key_set(file(secret, 0400), {}));
  for (unsigned mode : {0640U, 0604U, 0620U, 0644U, 0601U}) {
    const Result<KeySet> keys = load_key_set(file(secret, mode), {});
    ASSERT_FALSE(keys) << mode;
    EXPECT_NE(keys.error().message.find("chmod 600"), std::string::npos);
    EXPECT_FALSE(load_signing_key(file(secret, mode), std::nullopt, ""));
  }
}

TEST_F(KeyFileTest, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(load_key_set(dir_.file("absent"), {}).error().code, Code::kNotFound);
  const std::string path = file(jwks({}));
  const Error error = load_key_set(path, {}).error();
  EXPECT_NE(error.message.find(path), std::string::npos) << error.message;
  EXPECT_EQ(load_key_set(file(std::string(70'000, ' ')), {}).error().code, Code::kLimit);
}

TEST_F(KeyFileTest, SigningKeysOfEveryKindMakeTokens) {
  for (Algorithm algorithm : kAlgorithms) {
    const test::TestKey& made = test_key(algorithm);
    const bool is_secret = is_symmetric(algorithm);
    const Result<NamedSigningKey> key = load_signing_key(
        file(is_secret ? jwks({made.jwk("k")}) : made.private_pem), algorithm, "k");
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(key->kid, "k");
    const std::string token = *sign_jwt(key->key, key->kid, to_json(test::good_claims()));
    const std::size_t dot = token.rfind('.');
    const std::string expected = *key->key.sign(token.substr(0, dot));
    EXPECT_FALSE(expected.empty());
    EXPECT_TRUE(made.verification().verify(token.substr(0, dot), expected));
  }
}

TEST_F(KeyFileTest, ChoosesASecretByItsKid) {
  const std::string two =
      jwks({test_key(Algorithm::kHs256).jwk("a"), test_key(Algorithm::kHs256, 1).jwk("b"),
            test_key(Algorithm::kEs256).jwk("e")});
  const auto mac = [&](const std::string& kid) {
    const Result<NamedSigningKey> key = load_signing_key(file(two), std::nullopt, kid);
    return key ? *key->key.sign("x") : key.error().message;
  };
  EXPECT_EQ(mac("b"), *test_key(Algorithm::kHs256, 1).signing().sign("x"));
  EXPECT_NE(mac("").find("not exactly one secret"), std::string::npos);
  EXPECT_NE(mac("e").find("no secret"), std::string::npos);
  EXPECT_NE(mac("z").find("no secret"), std::string::npos);
  EXPECT_FALSE(load_signing_key(file(two), Algorithm::kEs256, "b"));
}

}  // namespace
}  // namespace tidegate
