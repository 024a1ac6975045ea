#include "projections/lua_pattern.h"

#include <type_traits>

namespace tidegate {
namespace {

// Of the C++ stack: a frame is about 200 bytes, and captures and `?` nest.
constexpr int kPatternDepthMax = 200;

bool is_between(char c, char low, char high) {
  return static_cast<unsigned char>(c) >= static_cast<unsigned char>(low) &&
         static_cast<unsigned char>(c) <= static_cast<unsigned char>(high);
}

bool is_letter(char c) {
  return is_between(c, 'a', 'z') || is_between(c, 'A', 'Z');
}

bool is_ascii_digit(char c) {
  return is_between(c, '0', '9');
}

char lower_of(char c) {
  return is_between(c, 'A', 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
}

// `letter` is the lower-case letter after a percent sign. False in `known`: it stands for itself.
bool is_of_class(char c, char letter, bool& known) {
  known = true;
  switch (letter) {
    case 'a':
      return is_letter(c);
    case 'c':
      return is_between(c, '\0', '\x1f') || c == '\x7f';
    case 'd':
      return is_ascii_digit(c);
    case 'g':
      return is_between(c, '!', '~');
    case 'l':
      return is_between(c, 'a', 'z');
    case 'p':
      return is_between(c, '!', '~') && !is_letter(c) && !is_ascii_digit(c);
    case 's':
      return c == ' ' || is_between(c, '\t', '\r');
    case 'u':
      return is_between(c, 'A', 'Z');
    case 'w':
      return is_letter(c) || is_ascii_digit(c);
    case 'x':
      return is_ascii_digit(c) || is_between(lower_of(c), 'a', 'f');
    default:
      known = false;
      return false;
  }
}

bool is_of_escape(char c, char escape) {
  bool known = false;
  const bool is_of = is_of_class(c, lower_of(escape), known);
  if (!known) return c == escape;
  return is_between(escape, 'A', 'Z') ? !is_of : is_of;
}

}  // namespace

static_assert(std::is_trivially_destructible_v<LuaPattern>);

std::size_t LuaPattern::fail(const char* problem) {
  if (problem_ == nullptr) problem_ = problem;
  return kNone;
}

bool LuaPattern::search(std::size_t from, bool is_anchored, std::size_t not_at) {
  for (std::size_t at = from; at <= text_.size(); ++at) {
    capture_count_ = 0;
    depth_ = 0;
    ++steps_;
    const std::size_t end = match(at, 0);
    if (is_over()) return false;
    if (end != kNone && end != not_at) {
      begin_ = at;
      end_ = end;
      return true;
    }
    if (is_anchored) return false;
  }
  return false;
}

std::size_t LuaPattern::match(std::size_t at, std::size_t pattern) {
  if (++depth_ > kPatternDepthMax) return fail("pattern too complex");
  const std::size_t end = match_items(at, pattern);
  --depth_;
  return end;
}

std::size_t LuaPattern::match_items(std::size_t at, std::size_t pattern) {
  while (pattern < pattern_.size()) {
    ++steps_;
    if (is_over()) return kNone;
    const char c = pattern_[pattern];
    if (c == '(') {
      const bool is_position = pattern_at(pattern + 1) == ')';
      return open_capture(at, pattern + (is_position ? 2 : 1),
                          is_position ? Capture::Kind::kPosition : Capture::Kind::kOpen);
    }
    if (c == ')') return close_capture(at, pattern + 1);
    if (c == '$' && pattern + 1 == pattern_.size()) return at == text_.size() ? at : kNone;
    if (c == '%' && match_special(at, pattern)) {
      if (at == kNone || is_over()) return kNone;
      continue;
    }
    const std::size_t end = item_end(pattern);
    if (is_over()) return kNone;
    const char suffix = pattern_at(end);
    if (suffix == '*') return match_longest(at, pattern, end);
    if (suffix == '-') return match_shortest(at, pattern, end);
    const bool fits = is_single(at, pattern, end);
    if (suffix == '+') return fits ? match_longest(at + 1, pattern, end) : kNone;
    if (suffix == '?') {
      if (fits) {
        const std::size_t found = match(at + 1, end + 1);
        if (found != kNone || is_over()) return found;
      }
      pattern = end + 1;
    } else {
      if (!fits) return kNone;
      ++at;
      pattern = end;
    }
  }
  return at;
}

bool LuaPattern::match_special(std::size_t& at, std::size_t& pattern) {
  const char kind = pattern_at(pattern + 1);
  if (kind == 'b') {
    at = match_balanced(at, pattern + 2);
    pattern += 4;
    return true;
  }
  if (kind == 'f') {
    const std::size_t set = pattern + 2;
    if (pattern_at(set) != '[') {
      at = fail("missing '[' after '%f' in pattern");
      return true;
    }
    const std::size_t end = item_end(set);
    if (is_over()) return true;
    const char before = at == 0 ? '\0' : text_[at - 1];
    const char after = at < text_.size() ? text_[at] : '\0';
    steps_ += end - set;
    if (is_in_set(before, set, end - 1) || !is_in_set(after, set, end - 1)) at = kNone;
    pattern = end;
    return true;
  }
  if (is_ascii_digit(kind)) {
    at = match_again(at, kind);
    pattern += 2;
    return true;
  }
  return false;
}

std::size_t LuaPattern::match_longest(std::size_t at, std::size_t item, std::size_t item_end) {
  std::size_t count = 0;
  while (is_single(at + count, item, item_end)) ++count;
  for (;;) {
    const std::size_t found = match(at + count, item_end + 1);
    if (found != kNone || is_over() || count == 0) return found;
    --count;
  }
}

std::size_t LuaPattern::match_shortest(std::size_t at, std::size_t item, std::size_t item_end) {
  for (;; ++at) {
    const std::size_t found = match(at, item_end + 1);
    if (found != kNone || is_over()) return found;
    if (!is_single(at, item, item_end)) return kNone;
  }
}

std::size_t LuaPattern::match_balanced(std::size_t at, std::size_t pattern) {
  if (pattern + 1 >= pattern_.size()) return fail("missing arguments to '%b' in pattern");
  const char open = pattern_[pattern];
  const char close = pattern_[pattern + 1];
  if (at >= text_.size() || text_[at] != open) return kNone;
  std::size_t depth = 1;
  for (std::size_t i = at + 1; i < text_.size(); ++i) {
    ++steps_;
    if (is_over()) return kNone;
    if (text_[i] == close) {
      if (--depth == 0) return i + 1;
    } else if (text_[i] == open) {
      ++depth;
    }
  }
  return kNone;
}

std::size_t LuaPattern::match_again(std::size_t at, char digit) {
  const auto index = static_cast<std::size_t>(digit - '0');
  if (index == 0 || index > capture_count_ || captures_[index - 1].kind == Capture::Kind::kOpen) {
    return fail("invalid capture index in pattern");
  }
  const Capture& capture = captures_[index - 1];
  if (capture.kind == Capture::Kind::kPosition) return kNone;
  steps_ += capture.size / 8;
  const std::string_view again = text_.substr(capture.begin, capture.size);
  return text_.substr(at).starts_with(again) ? at + again.size() : kNone;
}

std::size_t LuaPattern::open_capture(std::size_t at, std::size_t pattern, Capture::Kind kind) {
  if (capture_count_ == kCapturesMax) return fail("too many captures");
  captures_[capture_count_] = {at, 0, kind};
  ++capture_count_;
  const std::size_t found = match(at, pattern);
  if (found == kNone) --capture_count_;
  return found;
}

std::size_t LuaPattern::close_capture(std::size_t at, std::size_t pattern) {
  std::size_t index = capture_count_;
  while (index > 0 && captures_[index - 1].kind != Capture::Kind::kOpen) --index;
  if (index == 0) return fail("invalid pattern capture");
  Capture& capture = captures_[index - 1];
  capture.size = at - capture.begin;
  capture.kind = Capture::Kind::kText;
  const std::size_t found = match(at, pattern);
  if (found == kNone) capture.kind = Capture::Kind::kOpen;
  return found;
}

std::size_t LuaPattern::item_end(std::size_t item) {
  const char first = pattern_[item];
  if (first == '%') {
    if (item + 1 >= pattern_.size()) return fail("malformed pattern (ends with '%')");
    return item + 2;
  }
  if (first != '[') return item + 1;
  std::size_t at = item + 1;
  if (pattern_at(at) == '^') ++at;
  // The first character is of the set even when it is the closing bracket.
  do {
    if (at >= pattern_.size()) return fail("malformed pattern (missing ']')");
    at += pattern_[at] == '%' ? 2 : 1;
  } while (at >= pattern_.size() || pattern_[at] != ']');
  steps_ += (at - item) / 8;
  return at + 1;
}

bool LuaPattern::is_single(std::size_t at, std::size_t item, std::size_t item_end) {
  if (at >= text_.size()) return false;
  steps_ += 1 + (item_end - item) / 8;
  if (is_over()) return false;
  const char c = text_[at];
  switch (pattern_[item]) {
    case '.':
      return true;
    case '%':
      return is_of_escape(c, pattern_[item + 1]);
    case '[':
      return is_in_set(c, item, item_end - 1);
    default:
      return c == pattern_[item];
  }
}

bool LuaPattern::is_in_set(char c, std::size_t set, std::size_t set_end) const {
  std::size_t at = set + 1;
  const bool is_negated = pattern_[at] == '^';
  if (is_negated) ++at;
  while (at < set_end) {
    if (pattern_[at] == '%') {
      if (is_of_escape(c, pattern_at(at + 1))) return !is_negated;
      at += 2;
    } else if (at + 2 < set_end && pattern_[at + 1] == '-') {
      if (is_between(c, pattern_[at], pattern_[at + 2])) return !is_negated;
      at += 3;
    } else {
      if (c == pattern_[at]) return !is_negated;
      ++at;
    }
  }
  return is_negated;
}

}  // namespace tidegate
