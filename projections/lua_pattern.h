#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate {

// Lua's patterns (Lua 5.4 manual, section 6.4.1) with a bound on the work: backtracking takes time
// that grows with a power of the text's length, so steps are counted. Letters are those of ASCII.
//
// It has no destructor, so that Lua's errors may pass over it.
// Thread: caller serialises.
class LuaPattern {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  static constexpr std::size_t kCapturesMax = 32;

  // The views must outlive it. A `^` at the beginning is for the caller to take off.
  LuaPattern(std::string_view text, std::string_view pattern, std::uint64_t steps_max)
      : text_(text), pattern_(pattern), steps_max_(steps_max) {}

  // Finds the first match that begins at `from` (or later, unless `is_anchored`) and does not end
  // at `not_at`. False also when something is wrong: ask `problem`.
  bool search(std::size_t from, bool is_anchored, std::size_t not_at = kNone);

  std::size_t begin() const { return begin_; }
  std::size_t end() const { return end_; }

  struct Capture {
    enum class Kind : std::uint8_t { kText, kPosition, kOpen };
    std::size_t begin = 0;
    std::size_t size = 0;
    Kind kind = Kind::kOpen;
  };
  std::size_t capture_count() const { return capture_count_; }
  const Capture& capture(std::size_t index) const { return captures_[index]; }

  // What is wrong with the pattern; null: nothing.
  const char* problem() const { return problem_; }
  // Above the maximum: it gave up.
  std::uint64_t steps() const { return steps_; }

 private:
  // All return where the match ends, or kNone.
  std::size_t match(std::size_t at, std::size_t pattern);
  std::size_t match_items(std::size_t at, std::size_t pattern);
  std::size_t match_longest(std::size_t at, std::size_t item, std::size_t item_end);
  std::size_t match_shortest(std::size_t at, std::size_t item, std::size_t item_end);
  std::size_t match_balanced(std::size_t at, std::size_t pattern);
  std::size_t match_again(std::size_t at, char digit);
  std::size_t open_capture(std::size_t at, std::size_t pattern, Capture::Kind kind);
  std::size_t close_capture(std::size_t at, std::size_t pattern);

  // `%b`, `%f` and `%1`, which are no single characters: false when it is none of them. Moves `at`
  // (kNone: no match) and `pattern`.
  bool match_special(std::size_t& at, std::size_t& pattern);
  std::size_t item_end(std::size_t item);
  bool is_single(std::size_t at, std::size_t item, std::size_t item_end);
  bool is_in_set(char c, std::size_t set, std::size_t set_end) const;
  char pattern_at(std::size_t at) const { return at < pattern_.size() ? pattern_[at] : '\0'; }
  std::size_t fail(const char* problem);
  bool is_over() const { return problem_ != nullptr || steps_ > steps_max_; }

  const std::string_view text_;
  const std::string_view pattern_;
  const std::uint64_t steps_max_;
  std::uint64_t steps_ = 0;
  int depth_ = 0;
  const char* problem_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capture_count_ = 0;
  std::array<Capture, kCapturesMax> captures_ = {};
};

}  // namespace tidegate
