// Events in CloudEvents' JSON format.

#include "gateway/cloudevents/cloud_event.h"

#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(cloud_event) {
  using namespace tidegate;
  const auto event = cloud_event_from_json(input);
  if (!event) return;
  const auto made = make_new_event("a.b", *event);
  if (made) fuzz::require(made->stream == "a.b", "an event is of its stream");
}
