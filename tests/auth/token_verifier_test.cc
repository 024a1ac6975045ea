#include "gateway/auth/token_verifier.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/auth/jwks_server.h"
#include "tests/auth/token_maker.h"
#include "tests/cloudevents/random_input.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace tidegate {
namespace {

using test::good_claims;
using test::jwks;
using test::kNow_s;
using test::test_key;
using test::token;

constexpr std::chrono::seconds kPatience{30};

// A verifier with one issuer, test::kIssuer, whose key file the test writes.
class TokenVerifierTest : public testing::Test {
 protected:
  TokenVerifierTest() { trust({test_key(Algorithm::kEs256).jwk("k")}); }

  std::string key_file(const std::string& text, const std::string& name = "keys") const {
    const std::string path = dir_.file(name);
    test::write_file(path, text);
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    return path;
  }

  static IssuerConfig issuer(const std::string& keys) {
    IssuerConfig config;
    config.issuer = test::kIssuer;
    config.audience = test::kAudience;
    config.keys = keys;
    return config;
  }

  void open(std::vector<IssuerConfig> issuers) {
    auto opened = TokenVerifier::open(std::move(issuers), clock_);
    ASSERT_TRUE(opened) << opened.error().message;
    verifier_ = *std::move(opened);
  }

  void trust(const std::vector<std::string>& keys, std::vector<Algorithm> algorithms = {}) {
    IssuerConfig config = issuer(key_file(jwks(keys)));
    config.algorithms = std::move(algorithms);
    open({config});
  }

  // A token with the claims that `change` leaves, signed with the trusted key.
  template <typename Change>
  std::string changed(Change change) const {
    JwtClaims claims = good_claims();
    change(claims);
    return token(test_key(Algorithm::kEs256), "k", claims);
  }

  // "" when it is accepted.
  std::string refusal(const std::string& token) const {
    const Result<VerifiedToken> verified = verifier_->verify(token, kNow_s);
    if (verified) return "";
    EXPECT_EQ(verified.error().code, Code::kUnauthenticated) << verified.error().message;
    return verified.error().message;
  }

  // Whether it is refused with a message that has `part` in it.
  testing::AssertionResult refuses(const std::string& token, std::string_view part) const {
    const std::string message = refusal(token);
    if (message.find(part) != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "the message is '" << message << "'";
  }

  const test::TempDir dir_;
  test::ManualClock clock_;
  std::unique_ptr<TokenVerifier> verifier_;
};

TEST_F(TokenVerifierTest, TellsWhoTheTokenIsAbout) {
  const auto verified =
      verifier_->verify(token(test_key(Algorithm::kEs256), "k", good_claims()), kNow_s);
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_EQ(verified->issuer, test::kIssuer);
  EXPECT_EQ(verified->subject, "ann");
  EXPECT_EQ(verified->jti, "t-1");
  EXPECT_EQ(verified->issued_at_s, kNow_s - 10);
  EXPECT_EQ(verified->expires_s, kNow_s + 3600);
  EXPECT_EQ(verified->grants, good_claims().grants);
}

TEST_F(TokenVerifierTest, AcceptsEveryAlgorithmOfItsKeys) {
  for (Algorithm algorithm : kAlgorithms) {
    const test::TestKey& key = test_key(algorithm);
    trust({key.jwk("k")}, {algorithm});
    EXPECT_EQ(refusal(token(key, "k", good_claims())), "") << algorithm_info(algorithm).name;
    EXPECT_EQ(refusal(token(key, "", good_claims())), "") << "it is the only key";
  }
}

TEST_F(TokenVerifierTest, APemFileAnswersToEveryKid) {
  const test::TestKey& key = test_key(Algorithm::kPs256);
  IssuerConfig config = issuer(key_file(key.public_pem));
  config.algorithms = {Algorithm::kEs256, Algorithm::kPs256};
  open({config});
  EXPECT_EQ(refusal(token(key, "whatever", good_claims())), "");
  EXPECT_TRUE(refuses(token(test_key(Algorithm::kEs256), "whatever", good_claims()),
                      "not that of its key"));
}

// ------------------------------------------------------------------------- keys and algorithms

TEST_F(TokenVerifierTest, APublicKeyIsNeverASecret) {
  const test::TestKey& rsa = test_key(Algorithm::kRs256);
  const std::string forged =
      *sign_jwt(*SigningKey::from_secret(rsa.public_pem), "k", to_json(good_claims()));
  trust({rsa.jwk("k")});
  EXPECT_TRUE(refuses(forged, "not allowed"));
  trust({rsa.jwk("k")}, {Algorithm::kRs256, Algorithm::kHs256});
  EXPECT_TRUE(refuses(forged, "not that of its key"));
  open({issuer(key_file(rsa.public_pem))});
  EXPECT_TRUE(refuses(forged, "not allowed"));
}

TEST_F(TokenVerifierTest, SecretsCountOnlyWhenTheyAreListed) {
  const std::string secret = test_key(Algorithm::kHs256).jwk("s");
  trust({secret});
  EXPECT_TRUE(
      refuses(token(test_key(Algorithm::kHs256), "s", good_claims()), "HS256 is not allowed"));
  trust({secret}, {Algorithm::kHs256});
  EXPECT_EQ(refusal(token(test_key(Algorithm::kHs256), "s", good_claims())), "");
}

TEST_F(TokenVerifierTest, AnAlgorithmThatIsNotListedIsRefused) {
  trust({test_key(Algorithm::kEs256).jwk("k"), test_key(Algorithm::kRs256).jwk("r")},
        {Algorithm::kRs256});
  EXPECT_TRUE(
      refuses(token(test_key(Algorithm::kEs256), "k", good_claims()), "ES256 is not allowed"));
  EXPECT_EQ(refusal(token(test_key(Algorithm::kRs256), "r", good_claims())), "");
}

TEST_F(TokenVerifierTest, RefusesKeysThatItDoesNotHave) {
  const test::TestKey& key = test_key(Algorithm::kEs256);
  EXPECT_TRUE(refuses(token(key, "../../dev/null", good_claims()), "does not have"));
  EXPECT_TRUE(refuses(token(key, "k' OR '1'='1", good_claims()), "does not have"));
  EXPECT_TRUE(refuses(token(test_key(Algorithm::kEs256, 1), "k", good_claims()), "signature"));
  EXPECT_TRUE(
      refuses(token(test_key(Algorithm::kEs384), "k", good_claims()), "not that of its key"));
  trust({key.jwk("a"), test_key(Algorithm::kEs256, 1).jwk("b")});
  EXPECT_TRUE(refuses(token(key, "", good_claims()), "names no key"));
}

TEST_F(TokenVerifierTest, TwoIssuersWithOneKidAreNeverMixed) {
  IssuerConfig first = issuer(key_file(jwks({test_key(Algorithm::kEs256).jwk("k")}), "first"));
  IssuerConfig second = issuer(key_file(jwks({test_key(Algorithm::kEs256, 1).jwk("k")}), "second"));
  second.issuer = "https://other.example";
  open({first, second});
  JwtClaims of_second = good_claims();
  of_second.issuer = second.issuer;
  EXPECT_EQ(refusal(token(test_key(Algorithm::kEs256), "k", good_claims())), "");
  EXPECT_EQ(refusal(token(test_key(Algorithm::kEs256, 1), "k", of_second)), "");
  EXPECT_TRUE(refuses(token(test_key(Algorithm::kEs256, 1), "k", good_claims()), "signature"));
  EXPECT_TRUE(refuses(token(test_key(Algorithm::kEs256), "k", of_second), "signature"));
}

// ---------------------------------------------------------------------------------------- claims

TEST_F(TokenVerifierTest, TimesCountWithLeeway) {
  const auto expiring = [&](std::int64_t at) {
    return changed([at](JwtClaims& claims) { claims.expires_s = kNow_s + at; });
  };
  EXPECT_TRUE(refuses(expiring(-31), "expired 31 s ago"));
  EXPECT_TRUE(refuses(expiring(-30), "expired 30 s ago"));
  EXPECT_EQ(refusal(expiring(-29)), "");
  // By the leeway: good until that is over, too.
  EXPECT_EQ(verifier_->verify(expiring(-29), kNow_s)->expires_s, kNow_s + 1);
  EXPECT_EQ(verifier_->verify(expiring(1), kNow_s)->expires_s, kNow_s + 1);
  EXPECT_EQ(refusal(expiring(24 * 3600)), "");
  EXPECT_EQ(refusal(expiring(24 * 3600 + 30)), "");
  EXPECT_TRUE(refuses(expiring(24 * 3600 + 31), "at most 86400 s"));
  EXPECT_TRUE(
      refuses(changed([](JwtClaims& claims) { claims.expires_s = 253'402'300'799; }), "at most"));
  EXPECT_TRUE(refuses(changed([](JwtClaims& claims) { claims.expires_s = 0; }), "expired"));
  EXPECT_EQ(refusal(changed([](JwtClaims& claims) { claims.not_before_s = kNow_s + 30; })), "");
  EXPECT_TRUE(refuses(changed([](JwtClaims& claims) { claims.not_before_s = kNow_s + 31; }),
                      "not valid before 31 s"));
  EXPECT_EQ(refusal(changed([](JwtClaims& claims) { claims.issued_at_s = kNow_s + 30; })), "");
  EXPECT_TRUE(refuses(changed([](JwtClaims& claims) { claims.issued_at_s = kNow_s + 31; }),
                      "31 s in the future"));
  EXPECT_EQ(refusal(changed([](JwtClaims& claims) {
              claims.not_before_s.reset();
              claims.issued_at_s.reset();
            })),
            "");
}

TEST_F(TokenVerifierTest, LeewayAndLifetimeAreConfigured) {
  IssuerConfig config = issuer(key_file(jwks({test_key(Algorithm::kEs256).jwk("k")})));
  config.leeway_s = 0;
  config.max_lifetime_s = 60;
  open({config});
  const auto expiring = [&](std::int64_t at) {
    return changed([at](JwtClaims& claims) { claims.expires_s = kNow_s + at; });
  };
  EXPECT_TRUE(refuses(expiring(0), "expired 0 s ago"));
  EXPECT_EQ(refusal(expiring(1)), "");
  EXPECT_EQ(refusal(expiring(60)), "");
  EXPECT_TRUE(refuses(expiring(61), "at most 60 s"));
}

TEST_F(TokenVerifierTest, ClocksFarOffOverflowNothing) {
  const std::string good = token(test_key(Algorithm::kEs256), "k", good_claims());
  for (std::int64_t now_s :
       {std::int64_t{0}, std::int64_t{-1'000'000'000'000}, std::int64_t{1} << 60}) {
    EXPECT_FALSE(verifier_->verify(good, now_s)) << now_s;
  }
}

TEST_F(TokenVerifierTest, IssuerAndAudienceAreExact) {
  for (const char* name :
       {"https://login.example/", "HTTPS://login.example", "https://login", "x"}) {
    EXPECT_TRUE(refuses(changed([name](JwtClaims& claims) { claims.issuer = name; }), "issuer"));
  }
  using Audience = std::vector<std::string>;
  for (const Audience& audience :
       {Audience{}, Audience{"Tidegate"}, Audience{"tidegate "}, Audience{"tide", "gate"}}) {
    EXPECT_TRUE(
        refuses(changed([&](JwtClaims& claims) { claims.audience = audience; }), "audience"));
  }
  EXPECT_EQ(refusal(changed([](JwtClaims& claims) {
              claims.audience = {"other", "tidegate"};
            })),
            "");
}

TEST_F(TokenVerifierTest, ClaimsAreReadStrictly) {
  const SigningKey key = test_key(Algorithm::kEs256).signing();
  for (std::string_view extra : {R"(,"exp":1700003600)", R"(,"tidegate":{"admin":true})",
                                 R"(,"x":{"a":1,"a":1})", R"(,"x":[[[[[[[[[1]]]]]]]]])"}) {
    EXPECT_NE(refusal(*sign_jwt(key, "k", test::with_members(good_claims(), extra))), "") << extra;
  }
  for (std::string_view exp :
       {"9223372036854775808", "\"1700003600\"", "1700003600.5", "null", "1e400", "-1"}) {
    const std::string claims =
        R"({"iss":"https://login.example","sub":"a","aud":"tidegate","exp":)" + std::string(exp) +
        "}";
    EXPECT_TRUE(refuses(*sign_jwt(key, "k", claims), "\"exp\""));
  }
  EXPECT_EQ(refusal(*sign_jwt(key, "k",
                              R"({"iss":"https://login.example","sub":"a","aud":"tidegate",)"
                              R"("exp":1.7000036e9})")),
            "");
}

// --------------------------------------------------------------------------------- what leaks

TEST_F(TokenVerifierTest, TheSignatureComesBeforeEveryDetail) {
  JwtClaims claims = good_claims();
  claims.expires_s = kNow_s - 1000;
  claims.audience = {"other"};
  EXPECT_TRUE(
      refuses(token(test_key(Algorithm::kEs256, 1), "k", claims), "signature does not fit"));
  const std::string broken = R"({"iss":"https://login.example","tidegate":7})";
  EXPECT_TRUE(refuses(*sign_jwt(test_key(Algorithm::kEs256, 1).signing(), "k", broken),
                      "signature does not fit"));
  EXPECT_TRUE(
      refuses(*sign_jwt(test_key(Algorithm::kEs256).signing(), "k", broken), "\"tidegate\""));
}

TEST_F(TokenVerifierTest, NoMessageRepeatsTheToken) {
  test::RandomInput random;
  const std::string good = token(test_key(Algorithm::kEs256), "k", good_claims());
  for (int i = 0; i < 2'000; ++i) {
    const std::string changed = random.mutated(good);
    const auto verified = verifier_->verify(changed, kNow_s);
    if (verified) continue;
    for (std::size_t at = 0; at + 12 <= changed.size(); at += 12) {
      ASSERT_EQ(verified.error().message.find(changed.substr(at, 12)), std::string::npos)
          << "seed " << random.seed() << ": " << verified.error().message;
    }
  }
}

// ------------------------------------------------------------------------------- changed tokens

TEST_F(TokenVerifierTest, EveryByteCounts) {
  for (Algorithm algorithm : {Algorithm::kEs256, Algorithm::kEdDsa, Algorithm::kHs256}) {
    trust({test_key(algorithm).jwk("k")}, {algorithm});
    const std::string good = token(test_key(algorithm), "k", good_claims());
    ASSERT_EQ(refusal(good), "");
    for (std::size_t i = 0; i < good.size(); ++i) {
      for (const char with : {'A', 'B', '.', '=', ' ', '\0', '-'}) {
        if (good[i] == with) continue;
        std::string changed = good;
        changed[i] = with;
        EXPECT_NE(refusal(changed), "") << i << " " << with;
      }
    }
  }
}

TEST_F(TokenVerifierTest, NoRandomChangeIsAccepted) {
  test::RandomInput random;
  const std::string good = token(test_key(Algorithm::kEs256), "k", good_claims());
  for (int i = 0; i < 20'000; ++i) {
    const std::string changed = random.mutated(good);
    if (changed == good) continue;
    ASSERT_NE(refusal(changed), "") << "seed " << random.seed() << ": " << changed;
  }
}

// What a trusted issuer signs may be anything: it must be refused or sound.
TEST_F(TokenVerifierTest, MutatedPayloadsWithGoodSignaturesAreRefusedOrSound) {
  test::RandomInput random;
  trust({test_key(Algorithm::kHs256).jwk("k")}, {Algorithm::kHs256});
  const SigningKey key = test_key(Algorithm::kHs256).signing();
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string payload = random.mutated(to_json(good_claims()));
    const auto verified = verifier_->verify(*sign_jwt(key, "k", payload), kNow_s);
    if (!verified) continue;
    ++accepted;
    ASSERT_EQ(verified->issuer, test::kIssuer);
    ASSERT_FALSE(verified->subject.empty());
    ASSERT_LE(verified->subject.size(), kSubjectBytesMax);
    ASSERT_GT(verified->expires_s, kNow_s - 30) << "seed " << random.seed() << ": " << payload;
    ASSERT_LE(verified->expires_s, kNow_s + 24 * 3600 + 30);
  }
  EXPECT_GT(accepted, 20);
}

TEST_F(TokenVerifierTest, MutatedHeadersWithGoodSignaturesAreRefusedOrSound) {
  test::RandomInput random;
  trust({test_key(Algorithm::kHs256).jwk("k")}, {Algorithm::kHs256});
  const SigningKey key = test_key(Algorithm::kHs256).signing();
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string header = random.mutated(R"({"alg":"HS256","typ":"JWT","kid":"k"})");
    const auto verified =
        verifier_->verify(test::raw_token(key, header, to_json(good_claims())), kNow_s);
    if (!verified) continue;
    ++accepted;
    ASSERT_NE(header.find("HS256"), std::string::npos)
        << "seed " << random.seed() << ": " << header;
  }
  EXPECT_GT(accepted, 20);
}

// ----------------------------------------------------------------------------------- other keys

TEST_F(TokenVerifierTest, ReloadSwapsTheKeysOrKeepsThem) {
  const std::string by_old = token(test_key(Algorithm::kEs256), "k", good_claims());
  const std::string by_new = token(test_key(Algorithm::kEs256, 1), "k", good_claims());
  key_file("broken");
  const Status reloaded = verifier_->reload();
  ASSERT_FALSE(reloaded);
  EXPECT_NE(reloaded.error().message.find(test::kIssuer), std::string::npos);
  EXPECT_EQ(refusal(by_old), "");
  EXPECT_EQ(verifier_->health().front().keys.failures, 1U);
  key_file(jwks({test_key(Algorithm::kEs256, 1).jwk("k")}));
  ASSERT_TRUE(verifier_->reload());
  EXPECT_EQ(refusal(by_new), "");
  EXPECT_TRUE(refuses(by_old, "signature"));
  EXPECT_EQ(verifier_->health().front().keys.last_error, "");
}

TEST_F(TokenVerifierTest, SaysTryAgainWhileKeysAreFetched) {
  test::JwksServer server(test_key(Algorithm::kEs256, 9));
  test::write_file(dir_.file("ca.pem"), server.ca());
  const std::string body = jwks({test_key(Algorithm::kEs256).jwk("k")});
  server.answer_with({.body = body, .is_held = true});
  IssuerConfig config = issuer(server.url());
  config.ca_file = dir_.file("ca.pem");
  open({config});
  const auto unavailable = [&](const std::string& token) {
    const auto verified = verifier_->verify(token, kNow_s);
    return !verified && verified.error().code == Code::kUnavailable &&
           verified.error().retry_after_ms > 0;
  };
  const std::string good = token(test_key(Algorithm::kEs256), "k", good_claims());
  const std::string unknown = token(test_key(Algorithm::kEs256), "new", good_claims());
  ASSERT_TRUE(server.wait_for_requests(1));
  EXPECT_TRUE(unavailable(good));
  server.release();
  ASSERT_TRUE(verifier_->wait_for_keys(kPatience));
  EXPECT_EQ(refusal(good), "");
  // A key that is not there is asked for once; when it has not come, that is the answer.
  EXPECT_TRUE(unavailable(unknown));
  ASSERT_TRUE(server.wait_for_requests(2));
  EXPECT_TRUE(unavailable(unknown)) << "the fetch is under way";
  EXPECT_EQ(refusal(good), "") << "the old keys count meanwhile";
}

TEST_F(TokenVerifierTest, RefusesConfigurationsThatCannotBeMeant) {
  const std::string keys = key_file(jwks({test_key(Algorithm::kEs256).jwk("k")}));
  const auto fault = [&](auto change) {
    IssuerConfig config = issuer(keys);
    change(config);
    const auto opened = TokenVerifier::open({config}, clock_);
    return opened ? "" : opened.error().message;
  };
  EXPECT_EQ(fault([](IssuerConfig&) {}), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.issuer = ""; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.audience = ""; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.leeway_s = 61; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.leeway_s = -1; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.max_lifetime_s = 0; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.max_lifetime_s = INT64_MAX; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.keys = "/absent"; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.keys = "http://login.example/keys"; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) { c.keys = "file:///etc/keys"; }), "");
  EXPECT_NE(fault([](IssuerConfig& c) {
              c.keys = "https://login.example/keys";
              c.algorithms = {Algorithm::kHs256};
            }).find("HS256"),
            std::string::npos);
  const auto twice = TokenVerifier::open({issuer(keys), issuer(keys)}, clock_);
  EXPECT_NE(twice.error().message.find("twice"), std::string::npos);
}

}  // namespace
}  // namespace tidegate
