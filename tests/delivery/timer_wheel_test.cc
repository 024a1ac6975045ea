#include "gateway/delivery/timer_wheel.h"

#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

struct Timed : TimerPlace {
  std::int64_t wanted_ms = -1;  // -1: not set
};

using Wheel = TimerWheel<Timed>;

class TimerWheelTest : public ::testing::TestWithParam<unsigned> {};

// Against a model that looks at everyone: nobody early, nobody late, nobody that was removed.
TEST_P(TimerWheelTest, FiresEveryoneWhenTheirTimeHasCome) {
  std::mt19937 random(GetParam());
  const auto below = [&](std::int64_t end) {
    return std::uniform_int_distribution<std::int64_t>(0, end - 1)(random);
  };
  std::int64_t now_ms = below(1'000'000);
  Wheel wheel(now_ms);
  std::vector<std::unique_ptr<Timed>> all;
  for (int i = 0; i < 200; ++i) all.push_back(std::make_unique<Timed>());
  std::size_t fired = 0;
  const auto change = [&](Timed& who) {
    const std::int64_t due_ms = now_ms + below(below(4) == 0 ? 100'000 : 3'000);
    switch (below(4)) {
      case 0:
        wheel.remove(who);
        who.wanted_ms = -1;
        break;
      case 1:
        wheel.set_no_later(who, due_ms);
        who.wanted_ms = who.wanted_ms < 0 ? due_ms : std::min(who.wanted_ms, due_ms);
        break;
      default:
        wheel.set(who, due_ms);
        who.wanted_ms = due_ms;
    }
  };
  for (int round = 0; round < 500; ++round) {
    for (int i = 0; i < 20; ++i) change(*all[static_cast<std::size_t>(below(200))]);
    now_ms += below(round % 50 == 0 ? 120'000 : 700);
    wheel.advance(now_ms, [&](Timed& who) {
      ASSERT_GE(who.wanted_ms, 0) << "removed";
      EXPECT_LE(who.wanted_ms, now_ms) << "early";
      ++fired;
      who.wanted_ms = -1;
      // Whoever fires may change himself and others.
      if (below(2) == 0) change(who);
      if (below(4) == 0) change(*all[static_cast<std::size_t>(below(200))]);
    });
    for (const auto& who : all) {
      // What became due in the present step comes with the next one.
      if (who->wanted_ms >= 0) EXPECT_GT(who->wanted_ms, now_ms - 2 * Wheel::kStepMs) << "late";
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(fired, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TimerWheelTest, ::testing::Range(0u, 10u));

}  // namespace
}  // namespace tidegate
