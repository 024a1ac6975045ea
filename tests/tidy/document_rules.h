#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source_tree.h"

// Rules about documents that name code.

namespace tidegate::tidy {

inline std::vector<std::string> cells_of(std::string_view row) {
  std::vector<std::string> cells;
  row = trimmed(row);
  if (!row.starts_with('|')) return cells;
  for (std::size_t begin = 1; begin < row.size();) {
    const std::size_t end = std::min(row.find('|', begin), row.size());
    cells.emplace_back(trimmed(row.substr(begin, end - begin)));
    begin = end + 1;
  }
  return cells;
}

// The paths in a cell: runs of path characters that end in a source file's extension.
inline std::vector<std::string> paths_in(std::string_view cell) {
  std::vector<std::string> paths;
  std::string path;
  for (char c : std::string(cell) + " ") {
    if (is_identifier_char(c) || c == '/' || c == '.' || c == '-') {
      path += c;
      continue;
    }
    if (path.ends_with(".cc") || path.ends_with(".h") || path.ends_with(".proto"))
      paths.push_back(path);
    path.clear();
  }
  return paths;
}

// The last identifiers of the back-quoted names in a cell: `take_group` of
// "`LocalSequencer::take_group(batch)`".
inline std::vector<std::string> functions_in(std::string_view cell) {
  std::vector<std::string> functions;
  for (std::size_t open = cell.find('`'); open != std::string_view::npos;) {
    const std::size_t close = std::min(cell.find('`', open + 1), cell.size());
    std::string_view name = cell.substr(open + 1, close - open - 1);
    name = trimmed(name.substr(0, name.find('(')));
    std::size_t begin = name.size();
    while (begin > 0 && is_identifier_char(name[begin - 1])) --begin;
    functions.emplace_back(name.substr(begin));
    open = cell.find('`', std::min(close + 1, cell.size()));
  }
  return functions;
}

// One row "| n | file | function | thread |": its files exist, and each function stands in one of
// them.
inline Findings wrong_row(const std::string& document, std::size_t line,
                          const std::vector<std::string>& cells) {
  Findings findings;
  std::string code;
  const std::vector<std::string> paths = paths_in(cells[1]);
  for (const std::string& path : paths) {
    if (!fs::exists(root() / path)) findings.push_back({document, line, path + " does not exist"});
    code += without_comments_and_literals(read(root() / path)) + "\n";
  }
  if (paths.empty()) findings.push_back({document, line, "the row names no file"});
  const std::vector<std::string> functions = functions_in(cells[2]);
  if (functions.empty()) findings.push_back({document, line, "the row names no `function`"});
  for (const std::string& function : functions) {
    if (!function.empty() && !positions_of_word(code, function).empty()) continue;
    findings.push_back({document, line, "'" + function + "' is not in " + cells[1]});
  }
  return findings;
}

// Checks every table whose header has the cells "file" and "function" in its second and third
// place.
inline Findings wrong_way_of_an_event(const std::string& document, std::string_view text,
                                      std::size_t* rows) {
  Findings findings;
  bool in_table = false;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::vector<std::string> cells = cells_of(lines[i]);
    if (cells.size() < 4) {
      in_table = false;
    } else if (cells[1] == "file" && cells[2] == "function") {
      in_table = true;
    } else if (in_table && !cells[0].empty() &&
               std::isdigit(static_cast<unsigned char>(cells[0][0])) != 0) {
      ++*rows;
      const Findings of_row = wrong_row(document, i + 1, cells);
      findings.insert(findings.end(), of_row.begin(), of_row.end());
    }
  }
  return findings;
}

// Each "tools/..." of a document exists, and can be run if it is a script.
inline Findings wrong_commands(const std::string& document, std::string_view text) {
  Findings findings;
  for (std::size_t at : positions_of_word(text, "tools/")) {
    if (at > 0 && std::string_view("/-.").find(text[at - 1]) != std::string_view::npos &&
        !text.substr(0, at).ends_with("./")) {
      continue;
    }
    std::size_t end = at;
    while (end < text.size() &&
           (is_identifier_char(text[end]) ||
            std::string_view("/.-").find(text[end]) != std::string_view::npos)) {
      ++end;
    }
    std::string path(text.substr(at, end - at));
    while (path.ends_with('.')) path.pop_back();
    const fs::path full = root() / path;
    const bool script = fs::is_regular_file(full) && !full.has_extension();
    const bool runs =
        script && (fs::status(full).permissions() & fs::perms::owner_exec) != fs::perms::none;
    if (!fs::exists(full))
      findings.push_back({document, line_at(text, at), path + " does not exist"});
    if (script && !runs)
      findings.push_back({document, line_at(text, at), path + " is not executable"});
  }
  return findings;
}

}  // namespace tidegate::tidy
