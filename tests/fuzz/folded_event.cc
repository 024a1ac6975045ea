// The data of events, as projections fold it.

#include "tests/projections/folded_event.h"

#include <memory>
#include <string>

#include "projections/definition.h"
#include "projections/fold.h"
#include "tests/fuzz/target.h"

namespace {

using namespace tidegate;

std::unique_ptr<Fold> new_fold() {
  static const Definition definition = *Definition::parse(R"(
name = "everything"
streams = [">"]
key = "{stream[0]}-{/k}"

[on."*"]
n = { count = true }
sum = { sum = "/a" }
least = { min = "/a" }
most = { max = "/b/0" }
mean = { avg = "/a" }
first = { first = "/c" }
last = { last = "/b" }
set = { set = "/c/d" }
merged = { merge = "/m" }
list = { append = { a = "/a", all = "data" }, keep = 3 }
)");
  return *make_fold(definition);
}

// Folds it, and again.
bool fold_twice(std::string_view data, bool forgets, test::MapRows& rows) {
  const auto fold = new_fold();
  test::FoldedEvent event{.data = std::string(data)};
  for (event.sequence = 1; event.sequence <= 2; ++event.sequence) {
    if (!fold->apply(event.record(), rows)) return false;
    if (!forgets && event.sequence == 1) continue;
    const auto changes = fold->take_changes();
    if (!changes) return false;
    rows.commit(*changes);
    fold->forget();
  }
  return true;
}

}  // namespace

TIDEGATE_FUZZ_TARGET(folded_event) {
  test::MapRows at_once;
  test::MapRows by_steps;
  const bool is_good = fold_twice(input, false, at_once);
  fuzz::require(is_good == fold_twice(input, true, by_steps), "both fail or none");
  if (!is_good) return;
  fuzz::require(at_once.documents() == by_steps.documents(), "commits do not matter");
}
