#include "projections/lua_source.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

namespace tidegate {
namespace {

bool is_lua_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Knows just enough of Lua's lexical rules to tell code from text and comments.
class LuaSourceScanner {
 public:
  explicit LuaSourceScanner(std::string_view source) : source_(source) {}

  bool at_end() const { return at_ >= source_.size(); }
  std::size_t at() const { return at_; }
  char current() const { return peek(0); }
  std::string_view from(std::size_t begin) const { return source_.substr(begin, at_ - begin); }
  std::size_t line() const {
    std::size_t line = 1;
    for (const char c : source_.substr(0, at_)) line += c == '\n' ? 1 : 0;
    return line;
  }

  // Passes one comment, text, word, number or other character.
  void pass() {
    const char c = current();
    if (c == '-' && peek(1) == '-') {
      at_ += 2;
      if (!pass_long_bracket()) pass_line();
    } else if (c == '"' || c == '\'') {
      pass_text(c);
    } else if (is_lua_word(c)) {
      while (!at_end() && is_lua_word(current())) ++at_;
    } else if (!pass_long_bracket()) {
      ++at_;
    }
  }

 private:
  char peek(std::size_t ahead) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  bool is_line_end() const { return current() == '\n' || current() == '\r'; }

  void pass_line() {
    while (!at_end() && !is_line_end()) ++at_;
  }

  // `[[ .. ]]`, `[=[ .. ]=]` and so on.
  bool pass_long_bracket() {
    if (current() != '[') return false;
    std::size_t level = 0;
    while (peek(1 + level) == '=') ++level;
    if (peek(1 + level) != '[') return false;
    const std::string close = "]" + std::string(level, '=') + "]";
    const std::size_t found = source_.find(close, at_ + level + 2);
    at_ = found == std::string_view::npos ? source_.size() : found + close.size();
    return true;
  }

  // An unfinished text ends with its line, and Lua refuses it.
  void pass_text(char quote) {
    ++at_;
    while (!at_end() && current() != quote && !is_line_end()) {
      if (current() == '\\') {
        ++at_;
        pass_escape();
      } else {
        ++at_;
      }
    }
    if (current() == quote) ++at_;
  }

  void pass_escape() {
    if (current() == 'z') {
      ++at_;
      while (std::string_view(" \t\r\n\f\v").find(current()) != std::string_view::npos) ++at_;
    } else if (current() == '\r' && peek(1) == '\n') {
      at_ += 2;
    } else if (!at_end()) {
      ++at_;
    }
  }

  const std::string_view source_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::string> prepare_lua_source(std::string_view name, std::string_view source) {
  // Lua takes LF CR for one end of a line, also in a text: with these the scanner would lose track.
  for (std::size_t at = source.find('\r'); at < source.size(); at = source.find('\r', at + 1)) {
    if (source.substr(at + 1).starts_with('\n')) continue;
    const std::string_view before = source.substr(0, at);
    return Error{Code::kBadArgument,
                 fmt::format("{}:{}: a carriage return that is not followed by a line feed; end "
                             "lines by LF or CR LF",
                             name, 1 + std::count(before.begin(), before.end(), '\n'))};
  }
  std::string prepared;
  prepared.reserve(source.size() + 64);
  LuaSourceScanner scanner(source);
  while (!scanner.at_end()) {
    const std::size_t begin = scanner.at();
    const bool is_length = scanner.current() == '#';
    scanner.pass();
    const std::string_view token = scanner.from(begin);
    if (token == "_ENV" || token == kLuaLengthName) {
      return Error{Code::kBadArgument,
                   fmt::format("{}:{}: {} cannot be used; call the variable something else", name,
                               scanner.line(), token)};
    }
    if (is_length) {
      // The blank keeps it apart from a word before it, as in `return#t`.
      prepared += ' ';
      prepared += kLuaLengthName;
      prepared += '^';
    } else {
      prepared += token;
    }
  }
  return prepared;
}

}  // namespace tidegate
