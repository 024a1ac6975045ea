// kill -9 under load: what was promised holds across every crash, for publishers and for
// subscribers.

#include <iostream>
#include <random>

#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"

namespace tidegate::test {
namespace {

constexpr std::uint64_t kVerifyEvery = 10;

TEST(CrashTest, NothingPromisedIsLostByKillsUnderLoad) {
  const std::uint64_t kills = scaled(50);
  GatewayProcess gateway({.flags = {"--delivery-position-ms", "500", "--logging-level", "warn"}});
  Addresses addresses;
  addresses.set(gateway.http(), gateway.grpc());
  auto publishers = make_publishers(addresses, 1500, test_seed());
  for (const auto& publisher : publishers) publisher->start();
  SubscriberFleet fleet(mixed_subscribers(48, 500, 4000, test_seed()), addresses.http(), 1);
  const auto acknowledged = [&] {
    std::uint64_t sum = 0;
    for (const auto& publisher : publishers) sum += publisher->acknowledged();
    return sum;
  };

  std::mt19937_64 random(test_seed());
  double slowest_start_s = 0;
  for (std::uint64_t kill = 1; kill <= kills && !HasFailure(); ++kill) {
    // So that there is something to lose, and the kill comes at any moment of the work.
    const std::uint64_t before = acknowledged();
    const std::uint64_t wanted = before + 50 + random() % 400;
    ASSERT_TRUE(eventually([&] { return acknowledged() >= wanted; }, Milliseconds(30'000)))
        << "publishers do not get through after " << kill - 1
        << " kills: " << gateway.stderr_text();
    EXPECT_FALSE(gateway.process().wait_exit(Milliseconds(random() % 20))) << gateway.stderr_text();
    // Nobody is to look for the gateway at a port that another program may have by then.
    addresses.set("", "");
    gateway.kill();
    if (kill % kVerifyEvery == 0) {
      EXPECT_EQ(verify_problems(gateway.data_dir()), "") << "after kill " << kill;
    }
    const std::int64_t start = now_ns();
    gateway.start();
    slowest_start_s = std::max(slowest_start_s, static_cast<double>(now_ns() - start) / 1e9);
    addresses.set(gateway.http(), gateway.grpc());
  }
  for (const auto& publisher : publishers) publisher->stop();

  std::cout << kills << " kills, slowest start " << slowest_start_s << " s\n";
  const auto log = read_whole_log(gateway.grpc());
  ASSERT_FALSE(log.empty());
  EXPECT_TRUE(fleet.drain(log.back().sequence, 60'000)) << "subscribers do not reach the head";
  fleet.stop();
  judge(publishers, &fleet, gateway.grpc());
  EXPECT_EQ(gateway.terminate(), 0);
  EXPECT_EQ(verify_problems(gateway.data_dir()), "");
}

}  // namespace
}  // namespace tidegate::test
