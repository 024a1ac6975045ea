#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "gateway/cloudevents/cloud_event.h"
#include "tests/cloudevents/random_input.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate::test {

// The smallest valid event; `set` adds what a test is about.
inline v1::CloudEvent minimal_event() {
  v1::CloudEvent event;
  event.set_id("1");
  event.set_source("/s");
  event.set_type("t");
  return event;
}

// The bytes that would be stored.
inline std::string canonical(const v1::CloudEvent& event) {
  Result<NewEvent> made = make_new_event("orders.1", event);
  return made ? made->event : "refused: " + made.error().message;
}

inline v1::CloudEventAttributeValue& attribute(v1::CloudEvent& event, const std::string& name) {
  return (*event.mutable_attributes())[name];
}

inline v1::CloudEvent with_text(std::string_view content_type, std::string data) {
  v1::CloudEvent event = minimal_event();
  if (!content_type.empty()) {
    attribute(event, "datacontenttype").set_ce_string(std::string(content_type));
  }
  event.set_text_data(std::move(data));
  return event;
}

inline v1::CloudEvent with_binary(std::string_view content_type, std::string data) {
  v1::CloudEvent event = with_text(content_type, "");
  event.set_binary_data(std::move(data));
  return event;
}

// A valid event with attributes that JSON can tell apart: strings, booleans, integers, and `time`.
inline v1::CloudEvent random_event(RandomInput& random) {
  v1::CloudEvent event;
  event.set_id("i" + random.text(20));
  event.set_source("/" + random.text(20));
  event.set_type("t" + random.text(20));
  for (std::size_t i = random.below(6); i > 0; --i) {
    v1::CloudEventAttributeValue& value = attribute(event, "x" + std::to_string(random.below(30)));
    switch (random.below(3)) {
      case 0:
        value.set_ce_boolean(random.chance(2));
        break;
      case 1:
        value.set_ce_integer(static_cast<std::int32_t>(random.below(1ULL << 32) - (1ULL << 31)));
        break;
      default:
        value.set_ce_string(random.text(12));
    }
  }
  if (random.chance(2)) attribute(event, "subject").set_ce_string("s" + random.text(9));
  if (random.chance(2)) attribute(event, "dataschema").set_ce_uri("https://x/" + random.text(9));
  if (random.chance(2)) {
    auto& time = *attribute(event, "time").mutable_ce_timestamp();
    time.set_seconds(static_cast<std::int64_t>(random.below(253'402'300'800)));
    time.set_nanos(static_cast<std::int32_t>(random.chance(2) ? random.below(1'000'000'000)
                                                              : random.below(1000) * 1'000'000));
  }
  static constexpr std::string_view kJson[] = {"null", R"({"total": 42.0, "a":[1,
 2]})",
                                               " \"x\\u00e9\" ", "123456789012345678901234567890"};
  switch (random.below(5)) {
    case 0:
      event.set_text_data(std::string(random.pick(kJson)));
      break;
    case 1:
      attribute(event, "datacontenttype").set_ce_string("application/vnd.x+JSON; charset=utf-8");
      event.set_text_data(std::string(random.pick(kJson)));
      break;
    case 2:
      attribute(event, "datacontenttype").set_ce_string("text/plain");
      event.set_text_data(random.text(30) + "\n\t");
      break;
    case 3:
      event.set_binary_data(random.bytes(40));
      break;
    default:
      break;
  }
  return event;
}

}  // namespace tidegate::test
