#include "eventstore/filter.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::array<bool, 256> token_characters = [] {
  std::array<bool, 256> table{};
  for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (unsigned char c = '0'; c <= '9'; ++c) table[c] = true;
  table['_'] = table['-'] = true;
  return table;
}();

bool is_token(std::string_view token) {
  return !token.empty() && std::all_of(token.begin(), token.end(), [](char c) {
    return token_characters[static_cast<unsigned char>(c)];
  });
}

bool is_reserved(std::string_view name) {
  return !name.empty() && (name.front() == '_' || name.front() == '$');
}

// What is wrong with the shape, or nothing. `wildcards` says whether `*` and `>` may stand for a
// token.
std::string shape_error(std::string_view text, bool wildcards) {
  if (text.empty()) return "it is empty";
  if (text.size() > kStreamNameBytesMax) {
    return fmt::format("it has {} bytes, at most {} are allowed", text.size(), kStreamNameBytesMax);
  }
  if (std::count(text.begin(), text.end(), '.') >= static_cast<std::ptrdiff_t>(kTokensMax)) {
    return fmt::format("it has more than {} tokens", kTokensMax);
  }
  bool may_be_wild = wildcards;
  if (text.front() == '$') {  // only reserved names begin so
    text.remove_prefix(1);
    may_be_wild = false;  // "$*" is no name, and as a pattern would match none
  }
  std::string_view rest = text;
  while (true) {
    const bool last = rest.find('.') == std::string_view::npos;
    const std::string_view token = next_token(rest);
    if (token.empty()) return "it has an empty token";
    if (may_be_wild && token == ">" && !last) return "'>' may only be the last token";
    const bool wild = may_be_wild && (token == "*" || token == ">");
    if (!wild && !is_token(token)) {
      return fmt::format("the token '{}' has other characters than A-Z a-z 0-9 _ -",
                         printable(token));
    }
    if (last) return {};
    may_be_wild = wildcards;
  }
}

}  // namespace

std::string_view next_token(std::string_view& rest) {
  const auto dot = rest.find('.');
  const std::string_view token = rest.substr(0, dot);
  rest.remove_prefix(dot == std::string_view::npos ? rest.size() : dot + 1);
  return token;
}

Status check_stream_name(std::string_view name) {
  const std::string wrong = shape_error(name, false);
  if (wrong.empty()) return {};
  return Error{Code::kBadArgument,
               fmt::format("'{}' is not a stream name: {}", printable(name), wrong)};
}

Status check_publishable_name(std::string_view name) {
  if (is_reserved(name)) {
    return Error{
        Code::kBadArgument,
        fmt::format(
            "stream '{}' is reserved: names beginning with '_' or '$' cannot be published to",
            printable(name))};
  }
  return check_stream_name(name);
}

Result<Pattern> Pattern::parse(std::string_view text) {
  const std::string wrong = shape_error(text, true);
  if (!wrong.empty()) {
    return Error{Code::kBadPattern,
                 fmt::format("'{}' is not a stream pattern: {}", printable(text), wrong)};
  }
  const bool exact = text.find_first_of("*>") == std::string_view::npos;
  return Pattern(std::string(text), exact);
}

bool Pattern::matches(std::string_view stream) const {
  if (exact_) return stream == text_;
  if (is_reserved(stream) && (text_.front() == '*' || text_.front() == '>')) return false;
  std::string_view pattern = text_;
  while (!pattern.empty() && !stream.empty()) {
    const std::string_view want = next_token(pattern);
    if (want == ">") return true;
    const std::string_view have = next_token(stream);
    if (want != "*" && want != have) return false;
  }
  return pattern.empty() && stream.empty();
}

bool is_within(const Pattern& requested, std::span<const Pattern> granted) {
  // The hardest name to grant of those that a wildcard stands for is one that no grant spells out:
  // '?' is in no pattern. Who matches it does so with a wildcard, and matches every other name too;
  // when nobody does, that name is not granted.
  constexpr std::string_view kUnnamed = "?";
  std::string word;
  std::size_t tokens = 0;
  bool has_tail = false;
  for (std::string_view rest = requested.text(); !rest.empty(); ++tokens) {
    const std::string_view token = next_token(rest);
    has_tail = token == ">";
    if (tokens > 0) word += '.';
    word += has_tail || token == "*" ? kUnnamed : token;
  }
  while (true) {
    const bool is_granted = std::any_of(granted.begin(), granted.end(),
                                        [&](const Pattern& grant) { return grant.matches(word); });
    if (!is_granted) return false;
    // `>` stands for one token or more, as many as a name may have.
    if (!has_tail || ++tokens > kTokensMax) return true;
    word += '.';
    word += kUnnamed;
    if (word.size() > kStreamNameBytesMax) return true;
  }
}

Result<Filter> Filter::make(const std::vector<std::string>& streams,
                            const std::vector<std::string>& types) {
  if (streams.empty()) {
    return Error{Code::kBadPattern,
                 "no stream pattern given: name at least one, '>' for every stream"};
  }
  if (streams.size() > kPatternsMax || types.size() > kTypesMax) {
    return Error{Code::kLimit,
                 fmt::format("{} patterns and {} types given, at most {} and {} are allowed",
                             streams.size(), types.size(), kPatternsMax, kTypesMax)};
  }
  Filter filter;
  for (const std::string& text : streams) {
    auto pattern = Pattern::parse(text);
    if (!pattern) return std::move(pattern).error();
    if (std::find(filter.patterns_.begin(), filter.patterns_.end(), *pattern) ==
        filter.patterns_.end()) {
      filter.patterns_.push_back(*std::move(pattern));
    }
  }
  for (const std::string& type : types) {
    if (type.empty() || type.size() > kTypeBytesMax) {
      return Error{Code::kBadArgument, fmt::format("an event type has 1 to {} bytes, not {}",
                                                   kTypeBytesMax, type.size())};
    }
    if (std::find(filter.types_.begin(), filter.types_.end(), type) == filter.types_.end()) {
      filter.types_.push_back(type);
    }
  }
  return filter;
}

Filter Filter::everything() {
  return *make({">"}, {});
}

bool Filter::matches_stream(std::string_view stream) const {
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const Pattern& pattern) { return pattern.matches(stream); });
}

bool Filter::matches_type(std::string_view type) const {
  return types_.empty() || std::find(types_.begin(), types_.end(), type) != types_.end();
}

}  // namespace tidegate
