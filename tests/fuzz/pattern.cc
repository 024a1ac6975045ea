// Stream names, patterns, and which patterns are within which.

#include <string>
#include <string_view>
#include <vector>

#include "eventstore/filter.h"
#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(pattern) {
  using namespace tidegate;
  // Lines: a name, what is requested, and what is granted.
  std::vector<std::string_view> lines;
  while (lines.size() < 8) {
    const std::size_t end = input.find('\n');
    lines.push_back(input.substr(0, end));
    if (end == std::string_view::npos) break;
    input.remove_prefix(end + 1);
  }
  const bool is_name = static_cast<bool>(check_stream_name(lines.front()));
  std::vector<Pattern> patterns;
  for (const std::string_view line : lines) {
    auto pattern = Pattern::parse(line);
    if (!pattern) continue;
    fuzz::require(pattern->text() == line, "a pattern is its text");
    if (pattern->is_exact() && is_name)
      fuzz::require(pattern->matches(lines.front()) == (line == lines.front()), "exact is exact");
    patterns.push_back(*std::move(pattern));
  }
  if (patterns.size() < 2) return;
  const Pattern requested = patterns.front();
  patterns.erase(patterns.begin());
  if (!is_within(requested, patterns) || !is_name || !requested.matches(lines.front())) return;
  bool is_granted = false;
  for (const Pattern& granted : patterns) is_granted |= granted.matches(lines.front());
  fuzz::require(is_granted, "what is within the grants is granted");
}
