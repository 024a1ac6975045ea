#pragma once

#include <string>

#include <fmt/format.h>

#include "tests/support/store_reading.h"

namespace tidegate::test {

// Everything that a store holds, as text: what a golden data directory is compared with.
inline std::string describe_store(EventStore& store, const std::string& owner) {
  std::string out;
  const auto info = store.log_info();
  const auto events = read_log(store);
  const auto cursors = store.cursors().list(owner, "", "", 100);
  if (!info || !events || !cursors) return "unreadable\n";
  out += fmt::format("head {} floor {}\n", info->head.text(), info->floor);
  for (const Branch& branch : info->lineage) {
    out += fmt::format("branch {} fork {} time {} {}\n", branch.log.text(), branch.fork,
                       branch.time_us, branch.reason);
  }
  for (const NamedCursor& cursor : *cursors) {
    out += fmt::format("cursor {} {} time {}\n", cursor.name, cursor.state.position.text(),
                       cursor.state.acknowledged_time_us);
  }
  for (const LoggedEvent& event : *events) {
    std::string hex;
    for (const char byte : event.event)
      hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    out += fmt::format("event {} {}#{} type {} time {} chain {:016x} {}\n", event.sequence,
                       event.stream, event.revision, event.type, event.append_time_us, event.chain,
                       hex);
  }
  return out;
}

}  // namespace tidegate::test
