#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eventstore/append.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate::test {

// An event in the canonical form that the store takes. The defaults suit tests that do not look at
// that part.
struct EventBuilder {
  std::string id;
  std::string stream = "orders.eu.1";
  std::string type = "order.placed";
  std::string source = "/tests";
  std::string data = R"({"total":1})";

  NewEvent build() const {
    v1::CloudEvent event;
    event.set_id(id);
    event.set_source(source);
    event.set_spec_version("1.0");
    event.set_type(type);
    event.set_text_data(data);
    return {stream, event.SerializeAsString()};
  }
};

inline NewEvent make_event(std::string stream, std::string id) {
  return EventBuilder{.id = std::move(id), .stream = std::move(stream)}.build();
}

// Events "<prefix>1" to "<prefix><count>" of one stream.
inline std::vector<NewEvent> make_events(const std::string& stream, const std::string& prefix,
                                         std::size_t count) {
  std::vector<NewEvent> events;
  for (std::size_t i = 1; i <= count; ++i) {
    events.push_back(make_event(stream, prefix + std::to_string(i)));
  }
  return events;
}

inline std::string id_of(std::string_view event) {
  v1::CloudEvent parsed;
  parsed.ParseFromArray(event.data(), static_cast<int>(event.size()));
  return parsed.id();
}

}  // namespace tidegate::test
