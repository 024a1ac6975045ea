// Positions, as clients send them back.

#include "eventstore/types.h"
#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(position) {
  using namespace tidegate;
  const auto position = Position::parse(input);
  if (position) fuzz::require(position->text() == input, "a position has one text");
}
