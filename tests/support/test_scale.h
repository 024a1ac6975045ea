#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace tidegate::test {

// Thread: any (pure functions of the environment).

// TIDEGATE_TEST_SCALE, or 1: how much of an experiment is run. 1 is the promise that the tests'
// READMEs name; CI runs that, and less where code is instrumented.
inline double test_scale() {
  const char* const text = std::getenv("TIDEGATE_TEST_SCALE");
  const double scale = text == nullptr ? 1.0 : std::atof(text);
  return scale > 0 ? scale : 1.0;
}

// At least 1.
inline std::uint64_t scaled(double figure) {
  return static_cast<std::uint64_t>(std::max(1.0, figure * test_scale()));
}

}  // namespace tidegate::test
