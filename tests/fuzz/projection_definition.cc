// Definitions of projections, as their owners apply them.

#include <variant>

#include "projections/definition.h"
#include "projections/fold.h"
#include "tests/fuzz/target.h"
#include "tests/projections/folded_event.h"

TIDEGATE_FUZZ_TARGET(projection_definition) {
  using namespace tidegate;
  const auto definition = Definition::parse(input);
  if (!definition) {
    fuzz::require(definition.error().code == Code::kBadArgument, "its owner is told what is wrong");
    return;
  }
  fuzz::require(definition->text == input, "a definition keeps its text");
  // Scripts have budgets of their own, which are long for this.
  if (!std::holds_alternative<Declarative>(definition->fold)) return;
  const auto fold = make_fold(*definition);
  fuzz::require(static_cast<bool>(fold), "what was accepted can be folded");
  test::FoldedEvent event{.data = R"({"a":1,"b":[2.5,"x",null],"c":{"d":-3}})", .type = "t"};
  test::MapRows rows;
  if (const Status folded = (*fold)->apply(event.record(), rows); !folded) {
    fuzz::require(folded.error().code == Code::kBadEvent, "an event is at fault");
    return;
  }
  static_cast<void>((*fold)->take_changes());
}
