#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

// A parser that peers or the disk reach, fed with anything. Each file of this folder defines one:
//
//   TIDEGATE_FUZZ_TARGET(position) { ... use `input`, and `require` what must hold ... }
//
// With the preset `fuzz` each becomes a program of libFuzzer; in every other build fuzz_test runs
// them all over their corpora and over changes of them.
// Thread: caller serialises.

namespace tidegate::fuzz {

using Run = void (*)(std::string_view input);

struct Target {
  std::string_view name;  // of its folder in corpus/
  Run run;
};
std::vector<Target>& targets();
bool add_target(std::string_view name, Run run);

// Ends the process with the text when the condition does not hold.
void require(bool condition, const char* what);

}  // namespace tidegate::fuzz

#ifdef TIDEGATE_LIBFUZZER
#define TIDEGATE_FUZZ_TARGET(name)                                                    \
  static void run_target(std::string_view input);                                     \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    run_target({reinterpret_cast<const char*>(data), size});                          \
    return 0;                                                                         \
  }                                                                                   \
  static void run_target(std::string_view input)
#else
#define TIDEGATE_FUZZ_TARGET(name)                                                   \
  static void run_target(std::string_view input);                                    \
  static const bool is_added_##name = tidegate::fuzz::add_target(#name, run_target); \
  static void run_target(std::string_view input)
#endif
