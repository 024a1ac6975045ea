#include "tests/fuzz/target.h"

#include <cstdio>
#include <cstdlib>

namespace tidegate::fuzz {

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

bool add_target(std::string_view name, Run run) {
  targets().push_back({name, run});
  return true;
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace tidegate::fuzz
