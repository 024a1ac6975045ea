#include "gateway/auth/https_key_source.h"

#include <gtest/gtest.h>

#include "tests/auth/jwks_server.h"
#include "tests/auth/test_keys.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace tidegate {
namespace {

using test::jwks;
using test::JwksServer;
using test::test_key;

constexpr std::chrono::seconds kPatience{30};

// A server of keys, and what fetches from it only when it is told to: the clock stands still.
class HttpsKeySourceTest : public testing::Test {
 protected:
  HttpsKeySourceTest() { test::write_file(ca_file_, server_.ca()); }

  std::unique_ptr<HttpsGet> getter(int timeout_ms = 20'000) const {
    Result<std::unique_ptr<HttpsGet>> get =
        HttpsGet::make({.url = server_.url(), .ca_file = ca_file_, .timeout_ms = timeout_ms});
    EXPECT_TRUE(get) << get.error().message;
    return *std::move(get);
  }

  void start(int timeout_ms = 20'000) {
    source_ =
        std::make_unique<HttpsKeySource>(getter(timeout_ms), clock_, FetchSchedule::Periods());
  }

  // The answer to the next fetch, which is made now.
  void fetch(JwksServer::Answer answer) {
    server_.answer_with(std::move(answer));
    if (source_ == nullptr) {
      start();
    } else {
      ASSERT_TRUE(source_->reload());
    }
    ASSERT_TRUE(source_->wait_for_attempts(++attempts_, kPatience));
  }

  static JwksServer::Answer document(int number) {
    return {.body = jwks({test_key(Algorithm::kEs256, number).jwk("k")})};
  }

  // Whether the source now has the key of `document(number)`.
  bool has_key(int number) const {
    const std::shared_ptr<const KeySet> keys = source_->keys();
    if (keys == nullptr) return false;
    const VerificationKey* const key = keys->find("k", Algorithm::kEs256);
    const test::TestKey& made = test_key(Algorithm::kEs256, number);
    return key != nullptr && key->verify("x", *made.signing().sign("x"));
  }

  JwksServer server_{test_key(Algorithm::kEs256, 9)};
  const test::TempDir dir_;
  const std::string ca_file_ = dir_.file("ca.pem");
  test::ManualClock clock_;
  std::unique_ptr<HttpsKeySource> source_;
  std::uint64_t attempts_ = 0;
};

TEST_F(HttpsKeySourceTest, TakesOverNewKeys) {
  fetch(document(0));
  EXPECT_TRUE(source_->wait_for_keys(kPatience));
  EXPECT_TRUE(has_key(0));
  EXPECT_TRUE(source_->health().has_keys);
  const std::shared_ptr<const KeySet> old = source_->keys();
  fetch(document(1));
  EXPECT_TRUE(has_key(1));
  EXPECT_FALSE(has_key(0));
  EXPECT_NE(old->find("k", Algorithm::kEs256), nullptr) << "who still uses them may";
}

TEST_F(HttpsKeySourceTest, ABrokenAnswerNeverReplacesGoodKeys) {
  fetch(document(0));
  const std::string good = document(1).body;
  const std::pair<JwksServer::Answer, std::string> cases[] = {
      {{.status = "500 Internal Server Error", .body = good}, "status 500"},
      {{.status = "404 Not Found", .body = good}, "status 404"},
      {{.status = "204 No Content"}, "status 204"},
      {{.status = "302 Found", .headers = "Location: " + server_.url() + "\r\n", .body = good},
       "redirects are not followed"},
      {{.status = "301 Moved Permanently",
        .headers = "Location: file:///etc/passwd\r\n",
        .body = good},
       "redirects are not followed"},
      {{.body = std::string(10 * 1024 * 1024, ' ')}, "larger than"},
      {{.body = good + std::string(kKeyDocumentBytesMax, ' ')}, "larger than"},
      {{.body = ""}, "not valid JSON"},
      {{.body = jwks({})}, "no key that can verify"},
      {{.body = good.substr(0, good.size() - 1)}, "not valid JSON"},
      {{.body = "<html>"}, "not valid JSON"},
      {{.body = jwks({test_key(Algorithm::kEs256).jwk("k"), test_key(Algorithm::kHs256).jwk("s")})},
       "hands out a secret"}};
  std::uint64_t failures = 0;
  for (const auto& [answer, reason] : cases) {
    fetch(answer);
    EXPECT_TRUE(has_key(0)) << reason;
    const KeySource::Health health = source_->health();
    EXPECT_EQ(health.failures, ++failures);
    EXPECT_NE(health.last_error.find(reason), std::string::npos) << health.last_error;
  }
  EXPECT_EQ(server_.requests(), 1 + failures) << "no redirect was followed";
  fetch(document(1));
  EXPECT_TRUE(has_key(1));
  EXPECT_EQ(source_->health().last_error, "");
}

TEST_F(HttpsKeySourceTest, ASlowAnswerEndsAtTheTimeLimit) {
  server_.answer_with({.body = document(0).body, .is_held = true});
  start(1000);
  ASSERT_TRUE(source_->wait_for_attempts(1, kPatience));
  EXPECT_EQ(source_->keys(), nullptr);
  EXPECT_NE(source_->health().last_error.find("time"), std::string::npos)
      << source_->health().last_error;
  server_.release();
}

TEST_F(HttpsKeySourceTest, IsGoneAtOnceInTheMiddleOfAFetch) {
  server_.answer_with({.body = document(0).body, .is_held = true});
  start(600'000);
  ASSERT_TRUE(server_.wait_for_requests(1));
  const auto begin = std::chrono::steady_clock::now();
  source_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(HttpsKeySourceTest, TrustsOnlyItsCa) {
  test::write_file(ca_file_, test_key(Algorithm::kEs256, 8).certificate_pem);
  fetch(document(0));
  EXPECT_EQ(source_->keys(), nullptr);
  EXPECT_NE(source_->health().last_error.find("certificate"), std::string::npos)
      << source_->health().last_error;
  EXPECT_EQ(server_.requests(), 0U);
}

TEST_F(HttpsKeySourceTest, AsksForUnknownKeysOnceAMinute) {
  fetch(document(0));
  server_.answer_with(document(1));
  EXPECT_TRUE(source_->on_unknown_key());
  ASSERT_TRUE(source_->wait_for_attempts(2, kPatience));
  EXPECT_TRUE(has_key(1));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(source_->on_unknown_key());
  EXPECT_EQ(server_.requests(), 2U);
  clock_.advance_ms(60'000);
  EXPECT_TRUE(source_->on_unknown_key());
  ASSERT_TRUE(source_->wait_for_attempts(3, kPatience));
  EXPECT_EQ(server_.requests(), 3U);
}

TEST_F(HttpsKeySourceTest, OldKeysCountForADayWhenNewOnesCannotBeFetched) {
  fetch(document(0));
  clock_.advance_ms(kKeyAgeMax_ms);
  fetch({.status = "503 Service Unavailable"});
  EXPECT_TRUE(has_key(0));
  clock_.advance_ms(1);
  EXPECT_EQ(source_->keys(), nullptr);
  EXPECT_FALSE(source_->health().has_keys);
  fetch(document(0));
  EXPECT_TRUE(has_key(0));
}

TEST_F(HttpsKeySourceTest, RefreshesByItself) {
  server_.answer_with(document(0));
  const SystemClock clock;
  HttpsKeySource source(getter(), clock, {.refresh_ms = 1});
  EXPECT_TRUE(source.wait_for_attempts(3, kPatience));
}

TEST(HttpsGetTest, RefusesEveryOtherAddress) {
  for (const char* url :
       {"http://127.0.0.1/keys", "file:///etc/passwd", "ftp://host/keys", "https://",
        "https:///keys", "https://user:s3cret@host/keys", "https://user@host/keys",
        "gopher://host/", "ws://host/", "://host/", ""}) {
    const auto get = HttpsGet::make({.url = url});
    ASSERT_FALSE(get) << url;
    EXPECT_EQ(get.error().code, Code::kBadArgument);
    EXPECT_EQ(get.error().message.find("s3cret"), std::string::npos);
  }
  EXPECT_TRUE(HttpsGet::make({.url = "https://login.example/.well-known/jwks.json"}));
  EXPECT_FALSE(HttpsGet::make({.url = "https://login.example/", .ca_file = "/absent/ca.pem"}));
}

TEST(HttpsGetTest, SaysThatNobodyAnswers) {
  const auto get = HttpsGet::make({.url = "https://127.0.0.1:1/keys"});
  ASSERT_TRUE(get);
  EXPECT_EQ((*get)->run().error().code, Code::kUnavailable);
  (*get)->abort();
  EXPECT_EQ((*get)->run().error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace tidegate
