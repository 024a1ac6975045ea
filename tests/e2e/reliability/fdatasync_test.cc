// An acknowledgement means fdatasync: shown on the real binary, whose process is killed at its n-th
// sync, whose syncs fail or take long, and whose power is then cut: bytes that were written and not
// synced are gone. A build that acknowledges before it syncs must be caught by the same code.

#include <algorithm>
#include <csignal>
#include <iostream>

#include <gtest/gtest.h>

#include "tests/e2e/reliability/traced_gateway.h"
#include "tests/e2e/reliability/under_test.h"

namespace tidegate::test {
namespace {

constexpr std::uint64_t kVerifyEvery = 10;

std::string unsafe_gateway_path() {
  return std::string(TIDEGATE_BIN_DIR) + "/unsafe_gateway";
}

class FdatasyncTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (run_program({"strace", "-D", "-e", "trace=none", "true"}).exit_code != 0) {
      GTEST_SKIP() << "strace cannot trace here: install it, or allow ptrace; "
                      "tests/eventstore/crash_test.cc covers the store";
    }
    for (std::uint32_t i = 0; i < 3; ++i) {
      Publisher::Options options{.number = i,
                                 .address = addresses_.grpc(),
                                 .streams = load_streams(),
                                 .types = load_types()};
      options.pipelined = i == 2 ? 4 : 0;
      options.seed = test_seed() * 100 + i;
      publishers_.push_back(std::make_unique<Publisher>(std::move(options)));
      publishers_.back()->start();
    }
  }

  // One life under load that a fault at a sync ends; then the power is cut. Returns the exit code,
  // -1 for none.
  int live(const std::string& program, const std::vector<std::string>& flags,
           const std::string& injection) {
    TracedGateway gateway(program, data(), injection, flags);
    if (gateway.wait_until_it_listens()) {
      ++lives_with_load_;
      addresses_.set("", gateway.grpc());
    }
    const auto code = gateway.process().wait_exit(Milliseconds(60'000));
    addresses_.set("", "");
    if (!code) return -1;
    lost_bytes_ += gateway.lose_unsynced();
    return *code;
  }

  // What the log says in the end about everything that was promised in all lives.
  std::vector<Violation> violations() {
    for (const auto& publisher : publishers_) publisher->stop();
    GatewayProcess gateway({.flags = {"--logging-level", "error"}, .data_dir = data()});
    std::cout << lives_with_load_ << " lives under load, " << lost_bytes_
              << " bytes lost that were not synced\n";
    return violations_of(publishers_, nullptr, gateway.grpc());
  }
  std::string data() const { return dir_.file("data"); }

  TempDir dir_;
  Addresses addresses_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::uint64_t lives_with_load_ = 0;
  std::uint64_t lost_bytes_ = 0;
};

// Each life goes on from the data of the one before, so each is also a reopening after a power cut.
TEST_F(FdatasyncTest, KillsAtAnySyncLoseNothingAcknowledged) {
  const std::uint64_t kills = scaled(100);
  for (std::uint64_t n = 1; n <= kills; ++n) {
    const std::string injection = "signal=SIGKILL:when=" + std::to_string((n - 1) % 100 + 1);
    ASSERT_EQ(live(tidegated_path(), tidegated_flags(), injection), 128 + SIGKILL) << "n = " << n;
    // The first lives end before there is a log.
    if (n > 30 && n % kVerifyEvery == 0) {
      ASSERT_EQ(verify_problems(data()), "") << "n = " << n;
    }
  }
  const auto found = violations();
  EXPECT_TRUE(found.empty()) << describe(found);
  EXPECT_EQ(verify_problems(data()), "");
}

// A kill at any sync of the creation leaves nothing half made: the next start finds a log or makes
// one.
TEST_F(FdatasyncTest, KillsDuringCreationLeaveNothingHalfMade) {
  std::uint64_t killed = 0;
  for (std::uint64_t n = 1; n <= 40; ++n) {
    std::filesystem::remove_all(data());
    TracedGateway gateway(tidegated_path(), data(), "signal=SIGKILL:when=" + std::to_string(n),
                          tidegated_flags());
    if (gateway.wait_until_it_listens()) break;
    ASSERT_EQ(gateway.process().wait_exit(), 128 + SIGKILL);
    ++killed;
    GatewayProcess next({.flags = {"--logging-level", "error"}, .data_dir = data()});
    ASSERT_TRUE(fill_log(next.grpc(), 10, {"a"})) << "n = " << n;
    ASSERT_EQ(next.terminate(), 0);
    ASSERT_EQ(verify_problems(data()), "") << "n = " << n;
  }
  EXPECT_GE(killed, 5u) << "creation was hardly ever hit";
}

TEST_F(FdatasyncTest, FailedSyncsEndTheProcessWithNoAnswerAfterThem) {
  // A log that cannot be created is another matter: exit 73.
  GatewayProcess creator({.data_dir = data()});
  ASSERT_EQ(creator.terminate(), 0);
  // From 8 on: the first ones of a life belong to its opening, which nobody can be answered by.
  for (std::uint64_t n = 8; n <= 68; n += 6) {
    ASSERT_EQ(live(tidegated_path(), tidegated_flags(), "error=EIO:when=" + std::to_string(n)), 74)
        << "n = " << n;
  }
  // The failed group's bytes are gone, and those of later ones: an answer to any of them would be
  // found out.
  const auto found = violations();
  EXPECT_TRUE(found.empty()) << describe(found);
  EXPECT_GE(lives_with_load_, 5u);
  EXPECT_EQ(verify_problems(data()), "");
}

// The test of the tests above.
TEST_F(FdatasyncTest, CatchesABuildThatAcknowledgesBeforeItSyncs) {
  for (std::uint64_t n = 30; n < 60; n += 3) {
    ASSERT_EQ(live(unsafe_gateway_path(), {}, "signal=SIGKILL:when=" + std::to_string(n)),
              128 + SIGKILL);
  }
  const auto found = violations();
  const auto lost = std::count_if(found.begin(), found.end(),
                                  [](const Violation& one) { return one.invariant == "I1"; });
  EXPECT_GT(lost, 0) << "lost acknowledged events went unnoticed";
}

// Syncs that take long: no answer may come sooner.
class SlowSyncTest : public FdatasyncTest {
 protected:
  static constexpr std::int64_t kSyncMs = 400;

  std::int64_t fastest_answer_ms(const std::string& program,
                                 const std::vector<std::string>& flags) {
    TracedGateway gateway(program, data(), "delay_enter=" + std::to_string(kSyncMs * 1000), flags);
    EXPECT_TRUE(gateway.wait_until_it_listens());
    Publisher publisher({.number = 9,
                         .address = [&] { return gateway.grpc(); },
                         .streams = {"a"},
                         .types = {"t"},
                         .requests_max = 8});
    publisher.start();
    publisher.join();
    std::int64_t fastest = INT64_MAX;
    for (const PublishRecord& record : publisher.records()) {
      if (record.outcome != PublishRecord::Outcome::kOk) continue;
      fastest = std::min(fastest, record.answered_ns - record.invoked_ns);
    }
    gateway.process().signal(SIGKILL);
    EXPECT_TRUE(gateway.process().wait_exit());
    return fastest / 1'000'000;
  }
};

TEST_F(SlowSyncTest, AnswersComeAfterTheSync) {
  EXPECT_GE(fastest_answer_ms(tidegated_path(), tidegated_flags()), kSyncMs);
}

TEST_F(SlowSyncTest, NoticesAnswersBeforeTheSync) {
  EXPECT_LT(fastest_answer_ms(unsafe_gateway_path(), {}), kSyncMs);
}

}  // namespace
}  // namespace tidegate::test
