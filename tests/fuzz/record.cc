// Records of the log, as a damaged disk gives them.

#include "eventstore/record.h"

#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(record) {
  using namespace tidegate;
  const auto view = decode_record(7, input);
  if (!view) {
    fuzz::require(view.error().code == Code::kDataLoss, "a bad record is lost data");
    return;
  }
  static_cast<void>(chain_after(view->chain, input));
  static_cast<void>(scan_event(view->event));
}
