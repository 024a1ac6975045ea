// Keys and signatures: the vectors of the RFCs, every algorithm both ways, and what is no
// signature.
#include <gtest/gtest.h>

#include "gateway/auth/signing_key.h"
#include "gateway/auth/verification_key.h"
#include "gateway/cloudevents/base64.h"
#include "tests/auth/test_keys.h"

namespace tidegate {
namespace {

std::string bytes(std::string_view base64url) {
  return *decode_base64url(base64url);
}

// A token of an RFC: what is signed and the signature.
bool verifies(const Result<VerificationKey>& key, std::string_view token) {
  const std::size_t dot = token.rfind('.');
  return key && key->verify(token.substr(0, dot), bytes(token.substr(dot + 1)));
}

constexpr std::string_view kRfc7515Claims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".";

TEST(SignatureTest, Rfc7515HmacVector) {
  const auto key = VerificationKey::from_secret(bytes(
      "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"));
  EXPECT_TRUE(verifies(key, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." +
                                std::string(kRfc7515Claims) +
                                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
}

TEST(SignatureTest, Rfc7515RsaVector) {
  const auto key = VerificationKey::from_rsa(
      Algorithm::kRs256,
      bytes(
          "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt"
          "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX"
          "ndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5"
          "IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"),
      bytes("AQAB"));
  EXPECT_TRUE(verifies(
      key,
      "eyJhbGciOiJSUzI1NiJ9." + std::string(kRfc7515Claims) +
          "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
          "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
          "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
          "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"));
}

TEST(SignatureTest, Rfc7515EcdsaVector) {
  const auto key = VerificationKey::from_ec(Algorithm::kEs256,
                                            bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                                            bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"));
  EXPECT_TRUE(
      verifies(key, "eyJhbGciOiJFUzI1NiJ9." + std::string(kRfc7515Claims) +
                        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQ"
                        "xfKTUJqPP3-Kg6NU1Q"));
}

TEST(SignatureTest, Rfc7520PssVector) {
  const auto key = VerificationKey::from_rsa(
      Algorithm::kPs384,
      bytes(
          "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_"
          "AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpP"
          "e7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg"
          "_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"),
      bytes("AQAB"));
  EXPECT_TRUE(verifies(
      key,
      "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9."
      "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250"
      "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl"
      "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4."
      "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TT"
      "B5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrY"
      "RXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtf"
      "a64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"));
}

TEST(SignatureTest, Rfc8037Ed25519Vector) {
  const auto key =
      VerificationKey::from_ed25519(bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
  EXPECT_TRUE(
      verifies(key,
               "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnL"
               "WG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"));
}

class EveryAlgorithm : public testing::TestWithParam<Algorithm> {};

TEST_P(EveryAlgorithm, VerifiesWhatItSignedAndNothingElse) {
  const test::TestKey& made = test::test_key(GetParam());
  const VerificationKey key = made.verification();
  const std::string signature = *made.signing().sign("the text");
  EXPECT_TRUE(key.verify("the text", signature));
  EXPECT_FALSE(key.verify("the texT", signature));
  EXPECT_FALSE(key.verify("", signature));
  EXPECT_FALSE(test::test_key(GetParam(), 1).verification().verify("the text", signature));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    std::string changed = signature;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(key.verify("the text", changed)) << i;
  }
}

TEST_P(EveryAlgorithm, RefusesEveryOtherLength) {
  const test::TestKey& made = test::test_key(GetParam());
  const VerificationKey key = made.verification();
  const std::string signature = *made.signing().sign("the text");
  for (std::size_t size = 0; size < signature.size(); ++size) {
    EXPECT_FALSE(key.verify("the text", signature.substr(0, size))) << size;
  }
  EXPECT_FALSE(key.verify("the text", signature + '\0'));
  EXPECT_FALSE(key.verify("the text", '\0' + signature));
  EXPECT_FALSE(key.verify("the text", signature + signature));
}

INSTANTIATE_TEST_SUITE_P(Signatures, EveryAlgorithm, testing::ValuesIn(kAlgorithms),
                         [](const auto& tested) {
                           return std::string(algorithm_info(tested.param).name);
                         });

// ------------------------------------------------------------------------------- no signatures

// The orders of the curves.
constexpr std::string_view kP256Order =
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
constexpr std::string_view kP384Order =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc529"
    "73";

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return out;
}

void refuses_numbers_out_of_range(Algorithm algorithm, const std::string& order) {
  const test::TestKey& made = test::test_key(algorithm);
  const VerificationKey key = made.verification();
  const std::string good = *made.signing().sign("x");
  const std::string r = good.substr(0, order.size());
  const std::string s = good.substr(order.size());
  const std::string zero(order.size(), '\0');
  const std::string most(order.size(), '\xff');
  for (const std::string& bad : {zero, order, most}) {
    EXPECT_FALSE(key.verify("x", bad + bad));
    EXPECT_FALSE(key.verify("x", r + bad));
    EXPECT_FALSE(key.verify("x", bad + s));
  }
  EXPECT_TRUE(key.verify("x", r + s));
}

TEST(SignatureTest, RefusesEcdsaNumbersOutOfRange) {
  refuses_numbers_out_of_range(Algorithm::kEs256, from_hex(kP256Order));
  refuses_numbers_out_of_range(Algorithm::kEs384, from_hex(kP384Order));
}

TEST(SignatureTest, RefusesEcdsaAsDer) {
  const test::TestKey& made = test::test_key(Algorithm::kEs256);
  const std::string raw = *made.signing().sign("x");
  const auto integer = [](std::string number) {
    if ((number[0] & 0x80) != 0) number.insert(0, 1, '\0');
    return std::string("\x02") + static_cast<char>(number.size()) + number;
  };
  const std::string both = integer(raw.substr(0, 32)) + integer(raw.substr(32));
  const std::string der = std::string("\x30") + static_cast<char>(both.size()) + both;
  EXPECT_FALSE(made.verification().verify("x", der));
}

TEST(SignatureTest, RsaAndPssAreNotTakenForEachOther) {
  const std::string pkcs1 = *test::test_key(Algorithm::kRs256).signing().sign("x");
  const std::string pss = *test::test_key(Algorithm::kPs256).signing().sign("x");
  EXPECT_FALSE(test::test_key(Algorithm::kPs256).verification().verify("x", pkcs1));
  EXPECT_FALSE(test::test_key(Algorithm::kRs256).verification().verify("x", pss));
  EXPECT_FALSE(test::test_key(Algorithm::kRs384).verification().verify("x", pkcs1));
}

// --------------------------------------------------------------------------------------- PEM

TEST(KeyTest, APemKeyGetsTheFirstAlgorithmThatFits) {
  const test::TestKey& rsa = test::test_key(Algorithm::kRs256);
  EXPECT_EQ(VerificationKey::from_pem(rsa.public_pem, {})->algorithm(), Algorithm::kRs256);
  EXPECT_EQ(VerificationKey::from_pem(rsa.certificate_pem, {Algorithm::kEs256, Algorithm::kPs384})
                ->algorithm(),
            Algorithm::kPs384);
  for (Algorithm natural : {Algorithm::kEs256, Algorithm::kEs384, Algorithm::kEdDsa}) {
    const test::TestKey& key = test::test_key(natural);
    EXPECT_EQ(VerificationKey::from_pem(key.public_pem, {})->algorithm(), natural);
    EXPECT_EQ(VerificationKey::from_pem(key.certificate_pem, {})->algorithm(), natural);
    EXPECT_EQ(SigningKey::from_pem(key.private_pem, std::nullopt)->algorithm(), natural);
  }
}

TEST(KeyTest, APemKeyMustFitItsAlgorithm) {
  const auto message = [](Algorithm of_key, Algorithm wanted) {
    return VerificationKey::from_pem(test::test_key(of_key).public_pem, {wanted}).error().message;
  };
  EXPECT_NE(message(Algorithm::kRs256, Algorithm::kHs256).find("not a key for"), std::string::npos);
  EXPECT_NE(message(Algorithm::kRs256, Algorithm::kEs256).find("not a key for"), std::string::npos);
  EXPECT_NE(message(Algorithm::kEs256, Algorithm::kEs384).find("not a key for"), std::string::npos);
  EXPECT_NE(message(Algorithm::kEdDsa, Algorithm::kRs256).find("not a key for"), std::string::npos);
  EXPECT_FALSE(
      SigningKey::from_pem(test::test_key(Algorithm::kEs256).private_pem, Algorithm::kEs384));
}

TEST(KeyTest, RefusesShortRsaKeys) {
  const test::RsaPem weak = test::rsa_pem(1024);
  const Result<VerificationKey> key = VerificationKey::from_pem(weak.public_pem, {});
  ASSERT_FALSE(key);
  EXPECT_NE(key.error().message.find("1024 bits"), std::string::npos) << key.error().message;
  EXPECT_FALSE(SigningKey::from_pem(weak.private_pem, std::nullopt));
}

TEST(KeyTest, RefusesWhatIsNoSinglePublicKey) {
  const test::TestKey& made = test::test_key(Algorithm::kEs256);
  std::string damaged = made.public_pem;
  damaged[40] = damaged[40] == 'A' ? 'B' : 'A';
  damaged.erase(50, 7);
  const std::pair<std::string, std::string> cases[] = {
      {made.private_pem, "private key"},
      {made.public_pem + made.public_pem, "more than one"},
      {made.certificate_pem + made.public_pem, "more than one"},
      {damaged, "damaged"},
      {"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "damaged"},
      {"-----BEGIN DH PARAMETERS-----\nAA\n-----END DH PARAMETERS-----\n", "neither"},
      {"", "neither"}};
  for (const auto& [pem, message] : cases) {
    const Result<VerificationKey> key = VerificationKey::from_pem(pem, {});
    ASSERT_FALSE(key) << pem;
    EXPECT_EQ(key.error().code, Code::kBadArgument);
    EXPECT_NE(key.error().message.find(message), std::string::npos) << key.error().message;
  }
  EXPECT_FALSE(SigningKey::from_pem(made.public_pem, std::nullopt));
}

TEST(KeyTest, ASecretHasAtLeast32Bytes) {
  EXPECT_FALSE(VerificationKey::from_secret(std::string(31, 's')));
  EXPECT_TRUE(VerificationKey::from_secret(std::string(32, 's')));
  EXPECT_FALSE(SigningKey::from_secret(std::string(31, 's')));
}

}  // namespace
}  // namespace tidegate
