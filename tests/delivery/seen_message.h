#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/segment.h"

namespace tidegate::test {

// A message of the server as a client reads it, in whichever form it came: decoded by simdjson or
// protobuf, not by the code under test.
struct SeenMessage {
  struct Event {
    std::uint64_t sequence = 0;
    std::uint64_t revision = 0;
    std::string stream;
    std::string type;
  };
  // Of `rows` and `query_result`.
  struct Row {
    std::string key;
    std::string value;  // minified JSON; empty: removed
    std::uint64_t sequence = 0;

    friend bool operator==(const Row&, const Row&) = default;
  };
  std::string op;
  // Scalars by name, as text; enumerators as in the JSON form.
  std::map<std::string, std::string> fields;
  std::vector<Event> events;
  std::vector<Row> rows;

  std::string field(const std::string& name) const;
  std::uint64_t number(const std::string& name) const;
  // The sequence in `position`.
  std::uint64_t position_sequence() const;
};

// Adds a test failure when the bytes are not a message.
SeenMessage read_server_message(WireForm form, const std::string& bytes);

}  // namespace tidegate::test
