// Every target over its corpus, and over changes of it: the same each day, others the next.

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/fuzz/target.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_scale.h"

namespace tidegate::test {
namespace {

std::vector<std::string> corpus_of(std::string_view target) {
  const std::filesystem::path folder =
      std::filesystem::path(TIDEGATE_SOURCE_DIR) / "tests" / "fuzz" / "corpus" / target;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> inputs;
  for (const auto& file : files) inputs.push_back(read_file(file));
  return inputs;
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& inputs, std::uint64_t seed)
      : inputs_(inputs), random_(seed) {}

  // One of the inputs with a few changes.
  std::string next() {
    std::string input = inputs_[below(inputs_.size())];
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(input);
    return input;
  }

 private:
  std::size_t below(std::size_t end) { return random_() % std::max<std::size_t>(end, 1); }

  void change(std::string& input) {
    const std::size_t at = below(input.size() + 1);
    switch (below(6)) {
      case 0:  // another byte
        if (at < input.size()) input[at] = static_cast<char>(below(256));
        return;
      case 1:  // a bit
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        return;
      case 2:
        input.erase(at, 1 + below(8));
        return;
      case 3:
        input.insert(at, 1 + below(8), static_cast<char>(below(256)));
        return;
      case 4: {  // a piece of itself again
        const std::string piece = input.substr(below(input.size() + 1), 1 + below(64));
        input.insert(at, piece);
        return;
      }
      default: {  // the end of another
        const std::string& other = inputs_[below(inputs_.size())];
        input = input.substr(0, at) + other.substr(below(other.size() + 1));
        return;
      }
    }
  }

  const std::vector<std::string>& inputs_;
  std::mt19937_64 random_;
};

class FuzzTest : public testing::TestWithParam<fuzz::Target> {};

TEST_P(FuzzTest, HoldsForItsCorpusAndChangesOfIt) {
  const std::vector<std::string> inputs = corpus_of(GetParam().name);
  ASSERT_GE(inputs.size(), 2U) << "corpus/" << GetParam().name << " is too small";
  for (const std::string& input : inputs) GetParam().run(input);
  const auto day = static_cast<std::uint64_t>(std::time(nullptr)) / 86'400;
  std::cout << "seed " << day << "\n";
  Mutator mutator(inputs, day);
  // A failure ends the process: libFuzzer (tools/fuzz) finds and keeps the input then.
  for (std::uint64_t i = scaled(100'000); i > 0; --i) GetParam().run(mutator.next());
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzTest, testing::ValuesIn(fuzz::targets()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace tidegate::test
