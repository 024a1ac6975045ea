#pragma once

#include <cstdint>
#include <string>

#include "projections/declarative.h"
#include "projections/event_values.h"
#include "projections/json_value.h"

namespace tidegate {

// What a declarative fold holds of one field of a row.
// Thread: caller serialises (values and pure functions of this file).
struct FieldState {
  bool is_set = false;
  Json value;               // of an average: the sum
  std::uint64_t count = 0;  // of an average
  // At most so many bytes has the value in a document. Depends on the value alone, so that a row is
  // too large at the same event however often it was read back from its document.
  std::size_t bytes = 0;
};

// Does what the rule says with an event. What is wrong, or nothing; after an error the field is not
// to be used.
std::string fold_field(const FieldRule& rule, EventValues& values, FieldState& state);

// Appends the value as documents show it; only of a field that is set.
void append_field(std::string& out, Declarative::Keeping keeping, const FieldState& state);

// Makes the field what it was when its value stood in a document. `average` is null, or what
// `average_state` made. False when that cannot be.
bool restore_field(Declarative::Keeping keeping, Json value, const Json* average,
                   FieldState& state);

// An average's sum and count, which its document does not tell.
Json average_state(const FieldState& state);

}  // namespace tidegate
