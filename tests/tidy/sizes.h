#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source_tree.h"

// Lengths of files and functions, found by counting braces: good enough to notice what grows.

namespace tidegate::tidy {

struct Size {
  std::size_t lines;
  std::string what;
};

// What the text before an opening brace says about it. `head` begins after the last ';', '{' or
// '}'.
enum class Brace { kScope, kFunction, kOther };

inline Brace kind_of_brace(std::string_view head) {
  for (std::string_view word : {"namespace", "class", "struct", "enum", "union", "extern"}) {
    const std::vector<std::size_t> at = positions_of_word(head, word);
    if (!at.empty() && head.find('(') > at.front()) return Brace::kScope;
  }
  if (head.find('(') == std::string_view::npos) return Brace::kOther;
  // "Tail(int n) : size_{" opens a member's initialiser; the function's own brace follows ')', '}'
  // or a keyword.
  const std::size_t colon = head.find(") :");
  const bool initialiser = colon != std::string_view::npos && is_identifier_char(head.back());
  return initialiser ? Brace::kOther : Brace::kFunction;
}

// "Tail::publish" of "void Tail::publish(...) const"; a test keeps its arguments: "TEST_F(TailTest,
// Wraps)".
inline std::string name_of_function(std::string_view head) {
  const std::size_t paren = head.find('(');
  std::size_t begin = paren;
  while (begin > 0 &&
         (is_identifier_char(head[begin - 1]) || head[begin - 1] == ':' || head[begin - 1] == '~'))
    --begin;
  std::string name(head.substr(begin, paren - begin));
  if (name.starts_with("TEST")) name += head.substr(paren, head.find(')', paren) + 1 - paren);
  return name;
}

inline std::vector<Size> function_sizes(const SourceFile& file) {
  std::vector<Size> sizes;
  std::vector<Brace> open;
  std::size_t head_begin = 0;
  std::size_t function_begin = 0;
  std::size_t function_depth = 0;  // braces open inside the function, 0: outside of any
  std::string name;
  for (std::size_t i = 0; i < file.code.size(); ++i) {
    const char c = file.code[i];
    if (function_depth > 0) {
      function_depth += c == '{' ? 1U : 0U;
      if (c != '}' || --function_depth > 0) continue;
      const std::size_t line = line_at(file.code, function_begin);
      sizes.push_back(
          {line_at(file.code, i) - line + 1, file.path + ":" + std::to_string(line) + " " + name});
      head_begin = i + 1;
    } else if (c == '{') {
      const std::string_view head =
          trimmed(std::string_view(file.code).substr(head_begin, i - head_begin));
      const Brace kind = kind_of_brace(head);
      if (kind == Brace::kFunction) {
        name = name_of_function(head);
        function_begin = static_cast<std::size_t>(head.data() - file.code.data());
        function_depth = 1;
        continue;
      }
      open.push_back(kind);
      if (kind == Brace::kScope) head_begin = i + 1;
    } else if (c == '}' && !open.empty()) {
      if (open.back() == Brace::kScope) head_begin = i + 1;
      open.pop_back();
    } else if (c == ';') {
      head_begin = i + 1;
    }
  }
  return sizes;
}

// The `count` largest, the largest first.
inline std::vector<Size> largest(std::vector<Size> sizes, std::size_t count) {
  std::stable_sort(sizes.begin(), sizes.end(),
                   [](const Size& a, const Size& b) { return a.lines > b.lines; });
  sizes.resize(std::min(count, sizes.size()));
  return sizes;
}

}  // namespace tidegate::tidy
