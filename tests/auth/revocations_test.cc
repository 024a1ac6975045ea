#include "gateway/auth/revocations.h"

#include <atomic>
#include <sys/stat.h>
#include <thread>

#include <gtest/gtest.h>

#include "gateway/auth/token_verifier.h"
#include "tests/cloudevents/random_input.h"
#include "tests/support/temp_dir.h"

namespace tidegate {
namespace {

constexpr std::int64_t kNow_s = 1'700'000'000;
using Kind = Revocation::Kind;

Revocation of_token(std::string jti, std::int64_t expires_s = kNow_s + 100) {
  return {Kind::kToken, std::move(jti), 0, expires_s};
}
Revocation of_subject(std::string subject, std::int64_t expires_s = kNow_s + 100) {
  return {Kind::kSubject, std::move(subject), 0, expires_s};
}
Revocation of_subject_before(std::string subject, std::int64_t before_s,
                             std::int64_t expires_s = kNow_s + 100) {
  return {Kind::kSubjectBefore, std::move(subject), before_s, expires_s};
}

VerifiedToken token(std::string subject, std::string jti, std::int64_t issued_at_s = kNow_s) {
  return {"me", std::move(subject), std::move(jti), issued_at_s, kNow_s + 100, {}};
}

class RevocationsTest : public testing::Test {
 protected:
  RevocationsTest() { open(); }

  void open() {
    auto opened = Revocations::open(path_, kNow_s);
    ASSERT_TRUE(opened) << opened.error().message;
    list_ = *std::move(opened);
  }
  bool is_revoked(const VerifiedToken& token, std::int64_t now_s = kNow_s) const {
    return list_->is_revoked(token.jti, token.subject, token.issued_at_s, now_s);
  }

  const test::TempDir dir_;
  const std::string path_ = dir_.file("revocations");
  std::unique_ptr<Revocations> list_;
};

TEST_F(RevocationsTest, RefuseByTokenBySubjectAndByTime) {
  EXPECT_FALSE(is_revoked(token("ann", "1")));
  ASSERT_TRUE(
      list_->add({of_token("1"), of_subject("bob"), of_subject_before("cid", kNow_s)}, kNow_s));
  EXPECT_TRUE(is_revoked(token("ann", "1")));
  EXPECT_FALSE(is_revoked(token("ann", "2")));
  EXPECT_FALSE(is_revoked(token("ann", "")));
  EXPECT_TRUE(is_revoked(token("bob", "2")));
  EXPECT_FALSE(is_revoked(token("1", "bob"))) << "a jti is no subject";
  EXPECT_TRUE(is_revoked(token("cid", "3", kNow_s - 1)));
  EXPECT_FALSE(is_revoked(token("cid", "3", kNow_s)));
  EXPECT_TRUE(is_revoked(token("cid", "3", 0))) << "a token that does not say when is older";
}

TEST_F(RevocationsTest, SurviveARestart) {
  const std::string odd = "Zoë \"the\" \\ 𝄞";
  ASSERT_TRUE(list_->add({of_token("1"), of_subject(odd)}, kNow_s));
  ASSERT_TRUE(list_->add({of_subject_before(odd, kNow_s + 5), of_subject_before("x", 1)}, kNow_s));
  open();
  EXPECT_EQ(list_->size(), 4U);
  EXPECT_TRUE(is_revoked(token("ann", "1")));
  EXPECT_TRUE(is_revoked(token(odd, "")));
  EXPECT_TRUE(is_revoked(token("x", "", 0)));
  struct stat status = {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(RevocationsTest, AreForgottenWhenTheyExpire) {
  ASSERT_TRUE(
      list_->add({of_token("1"), of_subject("bob"), of_subject_before("cid", kNow_s + 1)}, kNow_s));
  for (const VerifiedToken& revoked : {token("a", "1"), token("bob", ""), token("cid", "")}) {
    EXPECT_TRUE(is_revoked(revoked, kNow_s + 99));
    EXPECT_FALSE(is_revoked(revoked, kNow_s + 100));
  }
  ASSERT_TRUE(list_->add({of_token("2", kNow_s + 300)}, kNow_s + 200));
  EXPECT_EQ(list_->size(), 1U);
  EXPECT_EQ(Revocations::open(path_, kNow_s + 300).value()->size(), 0U);
}

TEST_F(RevocationsTest, KeepTheLaterTimes) {
  ASSERT_TRUE(list_->add(
      {of_token("1", kNow_s + 100), of_subject_before("x", kNow_s - 5, kNow_s + 9)}, kNow_s));
  ASSERT_TRUE(list_->add(
      {of_token("1", kNow_s + 10), of_subject_before("x", kNow_s - 9, kNow_s + 99)}, kNow_s));
  EXPECT_EQ(list_->size(), 2U);
  EXPECT_TRUE(is_revoked(token("a", "1"), kNow_s + 50));
  EXPECT_TRUE(is_revoked(token("x", "", kNow_s - 6), kNow_s + 50));
  EXPECT_FALSE(is_revoked(token("x", "", kNow_s - 5), kNow_s + 50));
}

TEST_F(RevocationsTest, EachAdditionChangesTheVersion) {
  const std::uint64_t before = list_->version();
  ASSERT_TRUE(list_->add({of_token("1")}, kNow_s));
  EXPECT_NE(list_->version(), before);
  const std::uint64_t after = list_->version();
  EXPECT_FALSE(list_->add({of_token("")}, kNow_s));
  EXPECT_EQ(list_->version(), after);
}

TEST_F(RevocationsTest, RefuseWhatNoTokenCanHave) {
  const Revocation cases[] = {of_token(""),
                              of_token(std::string(129, 'j')),
                              of_token("a\nb"),
                              of_token("a\xff"),
                              of_subject(std::string(257, 's')),
                              of_token("1", kNow_s),
                              of_token("1", 0),
                              of_token("1", INT64_MAX),
                              of_subject_before("x", -1),
                              of_subject_before("x", INT64_MAX)};
  for (const Revocation& bad : cases) {
    EXPECT_EQ(list_->add({of_token("good"), bad}, kNow_s).error().code, Code::kBadArgument);
  }
  EXPECT_EQ(list_->size(), 0U) << "all or none";
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(RevocationsTest, AreBounded) {
  std::vector<Revocation> many;
  for (std::size_t i = 0; i < kRevocationsMax; ++i) many.push_back(of_token(std::to_string(i)));
  ASSERT_TRUE(list_->add(many, kNow_s));
  EXPECT_EQ(list_->add({of_token("more")}, kNow_s).error().code, Code::kLimit);
  EXPECT_TRUE(list_->add({of_token("0")}, kNow_s)) << "it is there already";
  EXPECT_TRUE(list_->add({of_token("more", kNow_s + 200)}, kNow_s + 100)) << "the others are past";
  EXPECT_EQ(list_->size(), 1U);
}

TEST_F(RevocationsTest, AreUnchangedWhenTheFileCannotBeWritten) {
  ASSERT_TRUE(std::filesystem::create_directories(path_ + ".new/in the way"));
  EXPECT_EQ(list_->add({of_token("1")}, kNow_s).error().code, Code::kInternal);
  EXPECT_FALSE(is_revoked(token("a", "1")));
  EXPECT_EQ(list_->version(), 1U);
}

TEST_F(RevocationsTest, AFileThatIsNotWholeIsRefused) {
  const std::string good = "{\"revocations\":1}\n{\"jti\":\"1\",\"expires\":1700000100}\n";
  test::write_file(path_, good);
  EXPECT_EQ(Revocations::open(path_, kNow_s).value()->size(), 1U);
  const std::pair<std::string, std::string> cases[] = {
      {"", "line 1"},
      {"{\"revocations\":1}\n", "0 of 1"},
      {"{\"revocations\":0}\n{\"jti\":\"1\",\"expires\":1}\n", "1 of 0"},
      {"{\"revocations\":1}", "line 1"},
      {"{\"revocations\":-1}\n", "line 1"},
      {"{\"jti\":\"1\",\"expires\":1700000100}\n", "line 1"},
      {good.substr(0, good.size() - 1), "line 2"},
      {good + "\n", "line 3"},
      {"{\"revocations\":1}\n{\"jti\":\"1\"}\n", "line 2"},
      {"{\"revocations\":1}\n{\"expires\":1}\n", "line 2"},
      {"{\"revocations\":1}\n{\"jti\":\"1\",\"subject\":\"2\",\"expires\":1}\n", "line 2"},
      {"{\"revocations\":1}\n{\"jti\":\"1\",\"issued_before\":1,\"expires\":1}\n", "line 2"},
      {"{\"revocations\":1}\n{\"jti\":\"1\",\"expires\":1,\"x\":1}\n", "line 2"},
      {"{\"revocations\":1}\n{\"jti\":\"1\",\"expires\":1,\"expires\":1}\n", "line 2"},
      {"{\"revocations\":1}\n{\"jti\":1,\"expires\":1}\n", "line 2"},
      {"{\"revocations\":1}\n{\"jti\":\"1\",\"expires\":\"1\"}\n", "line 2"},
      {"{\"revocations\":1}\nnull\n", "line 2"}};
  for (const auto& [text, where] : cases) {
    test::write_file(path_, text);
    const auto opened = Revocations::open(path_, kNow_s);
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, Code::kDataLoss);
    EXPECT_NE(opened.error().message.find(where), std::string::npos) << opened.error().message;
  }
}

TEST_F(RevocationsTest, MutatedFilesAreRefusedOrWhole) {
  ASSERT_TRUE(list_->add({of_token("1"), of_subject("bob"), of_subject_before("cid", 5)}, kNow_s));
  const std::string good = test::read_file(path_);
  test::RandomInput random;
  for (int i = 0; i < 3'000; ++i) {
    test::write_file(path_, random.mutated(good));
    const auto opened = Revocations::open(path_, kNow_s);
    if (opened) {
      ASSERT_LE((*opened)->size(), 3U) << "seed " << random.seed();
    } else {
      ASSERT_EQ(opened.error().code, Code::kDataLoss);
    }
  }
}

TEST_F(RevocationsTest, ReadersSeeWhatTheVersionPromises) {
  std::atomic<bool> is_over{false};
  std::atomic<int> added{0};
  std::thread reader([&] {
    std::uint64_t seen = list_->version();
    while (!is_over) {
      const int known = added.load();
      if (known > 0) EXPECT_TRUE(is_revoked(token("a", std::to_string(known))));
      const std::uint64_t now = list_->version();
      EXPECT_GE(now, seen);
      if (now > 1) EXPECT_TRUE(is_revoked(token("a", std::to_string(now - 1))));
      seen = now;
    }
  });
  for (int i = 1; i <= 50; ++i) {
    EXPECT_TRUE(list_->add({of_token(std::to_string(i))}, kNow_s));
    added = i;
  }
  is_over = true;
  reader.join();
}

}  // namespace
}  // namespace tidegate
