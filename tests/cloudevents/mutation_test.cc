// Small random changes of valid inputs: nothing crashes, and what is accepted is sound. The
// sanitizer builds run it too.
#include <gtest/gtest.h>

#include "gateway/cloudevents/cloud_event.h"
#include "gateway/cloudevents/json_text.h"
#include "tests/cloudevents/cloud_event_builder.h"

namespace tidegate {
namespace {

TEST(MutationTest, JsonEventsAreRefusedOrSound) {
  test::RandomInput random;
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string json;
    append_cloud_event_json(json, make_new_event("s", test::random_event(random))->event, false);
    const Result<v1::CloudEvent> event = cloud_event_from_json(random.mutated(json));
    if (!event) continue;
    const Result<NewEvent> made = make_new_event("s", *event);
    if (!made) continue;
    std::string again;
    append_cloud_event_json(again, made->event, true);
    const Result<JsonValue> valid = parse_json(again, kJsonDepthMax + 1, Code::kBadEvent);
    ASSERT_TRUE(valid) << "seed " << random.seed() << "\n"
                       << again << "\n"
                       << valid.error().message;
    ++accepted;
  }
  EXPECT_GT(accepted, 500);
}

TEST(MutationTest, BrokenCanonicalBytesDoNotCrashTheWriter) {
  test::RandomInput random;
  for (int i = 0; i < 20'000; ++i) {
    const std::string bytes = make_new_event("s", test::random_event(random))->event;
    std::string out;
    append_cloud_event_json(out, random.mutated(bytes), false);
    EXPECT_TRUE(out.starts_with("{") && out.ends_with("}"));
  }
}

}  // namespace
}  // namespace tidegate
