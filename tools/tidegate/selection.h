#pragma once

#include <string>
#include <vector>

#include "tools/tidegate/command.h"
#include "tools/tidegate/place.h"

namespace tidegate::v1 {
class Filter;
class ReadRequest;
class Start;
}  // namespace tidegate::v1

namespace tidegate {

// Which events of the log a command is about: what read, follow and replay have in common on the
// command line. Thread: caller serialises.
struct Selection {
  std::vector<std::string> patterns;
  std::vector<std::string> types;
  std::string from;
  std::string after;
  std::string until;
  std::uint64_t limit = 0;  // 0: none

  void add_filter_options(CLI::App& command);
  void add_begin_options(CLI::App& command);
  void add_end_options(CLI::App& command);

  // Checks the patterns and types; kBadPattern, kBadArgument. Without patterns: every stream.
  Result<v1::Filter> filter() const;
};

// Where reading begins: `from` is inclusive (positions are exclusive always), `after` is not.
v1::Start start_from(const Place& from);
v1::Start start_after(const Place& after);
// `from`, or `after`, or nothing when neither was given.
bool set_start(const Range& range, v1::Start& start);
// Where a read forward ends, inclusive. `head` adds nothing: a read ends at the head that it found.
void set_read_end(const Place& until, v1::ReadRequest& request);

}  // namespace tidegate
