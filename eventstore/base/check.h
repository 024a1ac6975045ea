#pragma once

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace tidegate::detail {

template <typename... Values>
[[noreturn]] void check_failed(const char* file, int line, const char* text,
                               const Values&... values) {
  std::string printed;
  ((printed += fmt::format(" [{}]", values)), ...);
  fmt::print(stderr, "{}:{}: invariant broken: {}{}\n", file, line, text, printed);
  std::fflush(stderr);
  std::abort();
}

}  // namespace tidegate::detail

// Ends the process when an invariant of our own does not hold, in every build: serving from a state
// that cannot be is worse than stopping. Further arguments are printed. Never for what a peer or a
// disk can cause. Thread: any.
#define TG_CHECK(condition, ...)                                                                   \
  do {                                                                                             \
    if (!(condition)) [[unlikely]] {                                                               \
      ::tidegate::detail::check_failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
    }                                                                                              \
  } while (false)
