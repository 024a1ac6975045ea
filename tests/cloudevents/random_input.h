#pragma once

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

namespace tidegate::test {

// Random choices of one test, repeatable: the seed is printed when the test fails, and
// TIDEGATE_TEST_SEED sets it. Thread: caller serialises.
class RandomInput {
 public:
  RandomInput() : seed_(chosen_seed()), engine_(seed_) {}

  std::uint64_t seed() const { return seed_; }

  // From 0 to `bound` - 1.
  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(engine_);
  }
  bool chance(std::size_t one_in) { return below(one_in) == 0; }

  template <typename List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

  // UTF-8 without control characters, with characters of every length.
  std::string text(std::size_t pieces_max) {
    static constexpr std::string_view kPieces[] = {"a", "Z", "7", " ", "\"", "\\",
                                                   "/", "<", "é", "€", "𝄞"};
    std::string out;
    for (std::size_t i = below(pieces_max + 1); i > 0; --i)
      out += kPieces[below(std::size(kPieces))];
    return out;
  }

  std::string bytes(std::size_t size_max) {
    std::string out(below(size_max + 1), '\0');
    for (char& c : out) c = static_cast<char>(below(256));
    return out;
  }

  // `text` with one to four small changes of the kinds that break parsers.
  std::string mutated(std::string text) {
    for (std::size_t i = 1 + below(4); i > 0; --i) mutate_once(text);
    return text;
  }

 private:
  static std::uint64_t chosen_seed() {
    const char* const given = std::getenv("TIDEGATE_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  }

  void mutate_once(std::string& text) {
    using namespace std::string_view_literals;
    static constexpr std::string_view kBytes = "\"\\{}[],:0-9.eEu tfn\x00\x1f\x80\xc2\xff"sv;
    const std::size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text.insert(at, 1, kBytes[below(kBytes.size())]);
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 3:
        text.erase(at, 1 + below(4));
        break;
      default:
        text.insert(at, text.substr(below(text.size() + 1), below(16)));
        break;
    }
  }

  const std::uint64_t seed_;
  std::mt19937_64 engine_;
};

}  // namespace tidegate::test
