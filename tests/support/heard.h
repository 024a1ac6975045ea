#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/types.h"

namespace tidegate::test {

// What a server message says, of either subprotocol, as far as a recorder needs it.
struct Heard {
  std::string op;  // "events", "subscribed", ...; empty: not understood
  std::string position;
  std::string code;         // of `error`
  std::string reason;       // of `gap`, `reset` and `unsubscribed`; the message of `error`
  std::uint64_t floor = 0;  // of `gap`
  struct Event {
    Sequence sequence;
    std::uint64_t hash;
  };
  std::vector<Event> events;

  Sequence sequence() const;  // of `position`
  static Heard from_json(std::string_view text);
  static Heard from_proto(std::string_view bytes);
};

}  // namespace tidegate::test
