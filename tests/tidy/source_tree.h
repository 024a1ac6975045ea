#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// Reads the tree of sources that the rules look at.

namespace tidegate::tidy {

namespace fs = std::filesystem;

struct SourceFile {
  std::string path;  // relative to the root, e.g. "eventstore/tail.h"
  std::string text;
  std::string code;  // `text` with comments and literals blanked, lines kept
};

struct Finding {
  std::string path;
  std::size_t line;
  std::string what;
};

using Findings = std::vector<Finding>;

inline bool is_identifier_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

inline bool starts_with_any(std::string_view text, const std::vector<std::string_view>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// The end of the comment or literal that begins at `i`, or `i` when none does.
inline std::size_t end_of_blank(std::string_view text, std::size_t i) {
  auto after = [&](std::string_view end, std::size_t from) {
    const std::size_t at = text.find(end, from);
    return at == std::string_view::npos ? text.size() : at + end.size();
  };
  const std::string_view rest = text.substr(i);
  if (rest.starts_with("//")) return std::min(text.find('\n', i), text.size());
  if (rest.starts_with("/*")) return after("*/", i + 2);
  if (rest.starts_with("R\"")) {
    const std::size_t open = std::min(text.find('(', i), text.size());
    const std::string end = ")" + std::string(text.substr(i + 2, open - i - 2)) + "\"";
    return after(end, open);
  }
  const bool digit_separator = text[i] == '\'' && i > 0 && is_identifier_char(text[i - 1]);
  if ((text[i] != '"' && text[i] != '\'') || digit_separator) return i;
  std::size_t end = i + 1;
  while (end < text.size() && text[end] != text[i] && text[end] != '\n') {
    end += text[end] == '\\' ? 2 : 1;
  }
  return std::min(end + 1, text.size());
}

inline std::string without_comments_and_literals(std::string_view text) {
  std::string code(text);
  for (std::size_t i = 0; i < code.size();) {
    const std::size_t end = end_of_blank(text, i);
    for (std::size_t at = i; at < end; ++at) {
      if (code[at] != '\n') code[at] = ' ';
    }
    i = std::max(end, i + 1);
  }
  return code;
}

inline SourceFile make_file(std::string path, std::string text) {
  std::string code = without_comments_and_literals(text);
  return {std::move(path), std::move(text), std::move(code)};
}

inline fs::path root() {
  return TIDEGATE_SOURCE_DIR;
}

inline std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Every .h and .cc of ours, in a stable order.
inline const std::vector<SourceFile>& source_files() {
  static const std::vector<SourceFile> files = [] {
    std::vector<SourceFile> found;
    for (const char* top : {"eventstore", "projections", "gateway", "tools", "tests"}) {
      if (!fs::exists(root() / top)) continue;
      for (auto it = fs::recursive_directory_iterator(root() / top);
           it != fs::recursive_directory_iterator(); ++it) {
        if (it->path().filename() == "node_modules") it.disable_recursion_pending();
        const std::string extension = it->path().extension().string();
        if (!it->is_regular_file() || (extension != ".h" && extension != ".cc")) continue;
        found.push_back(
            make_file(fs::relative(it->path(), root()).generic_string(), read(it->path())));
      }
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return found;
  }();
  return files;
}

inline std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

inline std::size_t line_at(std::string_view text, std::size_t offset) {
  return 1 + static_cast<std::size_t>(std::count(
                 text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
    text.remove_suffix(1);
  return text;
}

// Where `word` stands in `text` as a whole word; a word that ends in "(" may only continue to the
// left.
inline std::vector<std::size_t> positions_of_word(std::string_view text, std::string_view word) {
  std::vector<std::size_t> positions;
  for (std::size_t at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool left = at == 0 || !is_identifier_char(text[at - 1]);
    const bool right =
        end == text.size() || !is_identifier_char(word.back()) || !is_identifier_char(text[end]);
    if (left && right) positions.push_back(at);
  }
  return positions;
}

}  // namespace tidegate::tidy
