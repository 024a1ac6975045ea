#pragma once

#include <string>

#include "tidegate/v1/event.pb.h"
#include "tools/tidegate/output.h"

namespace tidegate {

// Prints events as they come: JSON Lines in a pipe and a table on a terminal, unless `-o` says
// otherwise. Thread: caller serialises.
class EventPrinter {
 public:
  // `own_times`: a table shows when an event happened rather than when it was appended, where it
  // says so.
  explicit EventPrinter(Output& output, bool own_times = false);

  void print(const v1::RecordedEvent& record);
  // Ends a JSON array; call it once when nothing follows.
  void finish();

 private:
  void print_row(const v1::RecordedEvent& record);

  Output& output_;
  bool own_times_;
  Format format_;
  std::size_t columns_;
  std::string line_;
  bool first_ = true;
};

}  // namespace tidegate
