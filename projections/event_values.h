#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "eventstore/segment.h"
#include "projections/event_view.h"
#include "projections/expression.h"
#include "projections/json_value.h"
#include "projections/pointer_finder.h"

namespace tidegate {

// The value of an expression for an event. Views live until the next event.
struct EventValue {
  enum class Kind : std::uint8_t {
    kAbsent,
    kNull,
    kBool,
    kInteger,
    kDouble,
    kText,
    kTree,    // an array or an object; `text` is its JSON
    kBroken,  // the data is not the JSON that it claims to be
  };
  Kind kind = Kind::kAbsent;
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0;
  std::string_view text;

  bool is_missing() const { return kind == Kind::kAbsent || kind == Kind::kNull; }
  bool is_number() const { return kind == Kind::kInteger || kind == Kind::kDouble; }
  // For a message: the value, shortened.
  std::string shown() const;
};

// The values of expressions for one event after the other.
// Thread: caller serialises.
class EventValues {
 public:
  // The finder has the pointers of all expressions that are asked for until the next `begin`.
  void begin(const RecordView& event, PointerFinder& finder);
  EventView& event() { return event_; }

  // Of an expression that is not composite.
  EventValue of(const Expression& expression);
  // Makes `out` the value of any expression; null stands for what is absent. False: broken.
  bool make(const Expression& expression, Json& out);
  // The same of a value of this event.
  bool make(const EventValue& value, Json& out);

 private:
  EventValue json_value(std::string_view json);
  EventValue json_number(std::string_view json);
  EventValue found(std::size_t pointer);
  EventValue data(std::size_t pointer);
  EventValue attribute(std::string_view name);
  EventValue time(std::int64_t time_us);
  std::string_view keep(std::string text);

  EventView event_;
  PointerFinder* finder_ = nullptr;
  enum class Search : std::uint8_t { kNotYet, kDone, kNoJson, kBroken };
  Search search_ = Search::kNotYet;
  std::deque<std::string> texts_;  // that are not in the event as they are
};

}  // namespace tidegate
