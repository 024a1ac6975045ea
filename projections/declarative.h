#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "projections/expression.h"

namespace tidegate {

// Thread: immutable (value types of this file).

// What the events of one type do to one field of a row.
struct FieldRule {
  enum class Op : std::uint8_t {
    kCount,
    kSum,
    kMin,
    kMax,
    kAvg,
    kFirst,
    kLast,
    kSet,
    kMerge,
    kAppend,
  };
  static constexpr std::size_t kKeepMax = 1000;

  Op op = Op::kCount;
  std::size_t field = 0;  // place in Declarative::fields
  Expression expression;  // of kCount: none
  std::size_t keep = 0;   // kAppend
};

std::string_view field_op_name(FieldRule::Op op);

// What the events of one type do to their row.
struct TypeRules {
  std::string type;  // "*": of every type that has no rules of its own
  bool is_delete = false;
  std::vector<FieldRule> rules;
};

// A fold that is written as rules, in TOML:
//
//   key = "{stream[1]}-{stream[2]}"   # text with expressions (expression.h) in braces; absent:
//   "all" window = "1h"                     # a row per key and hour; 1s to 366d: s, m, h, d
//
//   [on."flight.departed"]            # "*": every type that has no table of its own
//   flights = { count = true }
//   delay = { avg = "/delay" }
//   worst = { max = "/delay" }        # sum, min, max, avg
//   first_seen = { first = "time" }
//   latest = { last = "/flight" }     # the newest value that is not null; `set` takes null as well
//   board = { append = { flight = "/flight", to = "/destination" }, keep = 20 }
//   profile = { merge = "/patch" }    # RFC 7396
//
//   [on."flight.cancelled"]
//   delete = true                     # the row goes
//
// An event changes the row of its key: each rule of its type one field. The row's document is an
// object of these fields, sorted by name; a field that got no value yet is absent. Events of other
// types, and those whose key has no value, change nothing. With a window the start of the bucket of
// the event's time is appended to the key: "ATL@2001-01-01T05:00:00Z"; buckets are aligned to 1970.
//
// `count` counts every event. `sum`, `min`, `max`, `avg`, `first`, `last`, `merge` and `append`
// skip a value that is absent or null; in a table or array of expressions it becomes null. A sum of
// integers is exact, and one that overflows is an error; with one double it becomes a double. `min`
// and `max` compare numbers, or text by its bytes (but `time` and `append_time` as times), never
// one with the other. A value of the wrong type stops the projection at its event.
//
// Rules of several types may share a field when they keep it alike: count and sum; first, last, set
// and merge; or the same operation.
struct Declarative {
  static constexpr std::size_t kFieldsMax = 64;
  static constexpr std::size_t kFieldNameBytesMax = 128;
  static constexpr std::size_t kTypesMax = 64;

  // What is kept of a field.
  enum class Keeping : std::uint8_t { kTotal, kMin, kMax, kAverage, kValue, kList };
  struct Field {
    std::string name;
    Keeping keeping = Keeping::kTotal;
  };

  std::vector<KeyPart> key;
  std::int64_t window_us = 0;  // 0: none
  std::vector<Field> fields;   // by name
  std::vector<TypeRules> on;
};

}  // namespace tidegate
