// ProjectionAccess over a real engine.

#include "gateway/delivery/engine_access.h"

#include <functional>

#include "tests/projections/engine_fixture.h"

namespace tidegate::test {
namespace {

class EngineAccessTest : public EngineFixture<StoreTest> {
 protected:
  PressureGauge pressure_;
  const std::function<void(std::function<void()>)> post_ = [](const std::function<void()>&) {};
};

TEST_F(EngineAccessTest, KnowsTheProjectionsThatThereAre) {
  const EngineAccess access(&engine(), store(), pressure_, post_);
  const Status before = access.check_exists("counting");
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().code, Code::kNotFound);
  ASSERT_TRUE(engine().apply(counting()));
  EXPECT_TRUE(access.check_exists("counting"));
}

TEST_F(EngineAccessTest, SaysThatProjectionsAreSwitchedOff) {
  const EngineAccess access(nullptr, store(), pressure_, post_);
  const Status answer = access.check_exists("counting");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace tidegate::test
