#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/source_tree.h"

// Rules about one source file: each is a function from the file to findings, so that it can be fed
// a violation.

namespace tidegate::tidy {

struct Include {
  std::size_t line;
  std::string_view target;
  bool quoted;
};

inline std::vector<Include> includes_of(const SourceFile& file) {
  std::vector<Include> includes;
  const auto lines = lines_of(file.text);
  const auto code_lines = lines_of(file.code);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!trimmed(code_lines[i]).starts_with("#include")) continue;
    const std::size_t open = lines[i].find_first_of("\"<");
    if (open == std::string_view::npos) continue;
    const bool quoted = lines[i][open] == '"';
    const std::size_t close = lines[i].find(quoted ? '"' : '>', open + 1);
    includes.push_back({i + 1, lines[i].substr(open + 1, close - open - 1), quoted});
  }
  return includes;
}

// The layers, a higher rank may include a lower one. Layers of one rank do not include each other.
// The first prefix that fits decides, so that "gateway/" holds only the files directly in gateway.
struct Layer {
  std::string_view prefix;
  int rank;
};

inline constexpr int kToolsRank = 8;
inline constexpr int kTestsRank = 9;  // the micro-benchmarks too: they use the parts of every layer

inline const std::vector<Layer>& layers() {
  static const std::vector<Layer> kLayers = {
      {"tidegate/", 0},        {"google/rpc/", 0},
      {"eventstore/base/", 0}, {"eventstore/", 1},
      {"projections/", 2},     {"gateway/cloudevents/", 3},
      {"gateway/tls/", 3},     {"gateway/delivery/", 4},
      {"gateway/api/", 5},     {"gateway/auth/", 5},
      {"gateway/net/", 5},     {"gateway/ops/", 6},
      {"gateway/", 7},         {"tools/bench/micro/", kTestsRank},
      {"tools/", kToolsRank},  {"tests/", kTestsRank},
  };
  return kLayers;
}

inline std::optional<Layer> layer_of(std::string_view path) {
  for (const Layer& layer : layers()) {
    if (!path.starts_with(layer.prefix)) continue;
    // A new folder of gateway is in no layer until it stands in the table above.
    const bool nested = path.find('/', layer.prefix.size()) != std::string_view::npos;
    if (layer.prefix == "gateway/" && nested) return std::nullopt;
    return layer;
  }
  return std::nullopt;
}

inline bool may_include(const Layer& from, const Layer& to) {
  if (from.prefix == to.prefix || from.rank == kTestsRank) return true;
  if (from.rank == kToolsRank) {
    return to.rank <= 1 || to.prefix == "gateway/cloudevents/" || to.prefix == "gateway/auth/";
  }
  return to.rank < from.rank;
}

inline Findings wrong_includes(const SourceFile& file) {
  Findings findings;
  const std::optional<Layer> from = layer_of(file.path);
  if (!from)
    return {{file.path, 1, "is in no layer: add its folder to layers() in tests/tidy_test.cc"}};
  for (const Include& include : includes_of(file)) {
    const std::string target(include.target);
    const std::optional<Layer> to = layer_of(include.target);
    if (include.quoted && !to) {
      findings.push_back({file.path, include.line,
                          "\"" + target + "\" is not relative to the root, or in no layer"});
    } else if (!include.quoted && to) {
      findings.push_back({file.path, include.line, "<" + target + "> is ours: use quotes"});
    } else if (to && !may_include(*from, *to)) {
      findings.push_back({file.path, include.line,
                          std::string(from->prefix) + " must not include \"" + target +
                              "\" (see CONTRIBUTING.md)"});
    }
  }
  return findings;
}

// A library and the only folders that may include it.
struct LibraryRule {
  std::string_view library;
  std::vector<std::string_view> headers;
  std::vector<std::string_view> folders;
};

inline const std::vector<LibraryRule>& library_rules() {
  static const std::vector<LibraryRule> kRules = {
      {"Asio and Beast",
       {"boost/asio", "boost/beast"},
       {"gateway/net/", "tools/tidegate/", "tests/"}},
      {"gRPC", {"grpc/", "grpcpp/"}, {"gateway/api/", "tools/", "tests/"}},
      {"RocksDB", {"rocksdb/"}, {"eventstore/", "tests/"}},
      {"libcurl", {"curl/"}, {"gateway/auth/"}},
      {"Lua", {"lua", "lauxlib.h", "lualib.h"}, {"projections/lua_"}},
  };
  return kRules;
}

inline Findings misplaced_libraries(const SourceFile& file) {
  Findings findings;
  for (const Include& include : includes_of(file)) {
    const std::string target(include.target);
    for (const LibraryRule& rule : library_rules()) {
      const bool generated = rule.library == "gRPC" && target.ends_with(".grpc.pb.h");
      if (!generated && !starts_with_any(target, rule.headers)) continue;
      if (starts_with_any(file.path, rule.folders)) continue;
      findings.push_back({file.path, include.line,
                          target + ": " + std::string(rule.library) + " is not used here"});
    }
    const bool pure = file.path.starts_with("gateway/delivery/");
    if (pure && starts_with_any(target, {"boost/", "openssl/"})) {
      findings.push_back({file.path, include.line, target + ": delivery is pure"});
    }
  }
  return findings;
}

struct WordRule {
  std::string_view word;
  std::string_view reason;
  std::function<bool(std::string_view path)> applies;
};

inline const std::vector<WordRule>& word_rules() {
  const auto everywhere = [](std::string_view) { return true; };
  const auto tests = [](std::string_view path) { return path.starts_with("tests/"); };
  const auto outside_tests = [](std::string_view path) { return !path.starts_with("tests/"); };
  static const std::vector<WordRule> kRules = {
      {"co_await", "no coroutines before g++ 13; use a callback", everywhere},
      {"using namespace", "name what you use", outside_tests},
      {"std::endl", "it flushes; write '\\n'", everywhere},
      {"sleep_for", "wait for a condition with a deadline", tests},
      {"sleep_until", "wait for a condition with a deadline", tests},
      {"usleep(", "wait for a condition with a deadline", tests},
  };
  return kRules;
}

// Literals such as 5ms have no other spelling, so a source file may open the namespace that holds
// them.
inline bool opens_literals(const SourceFile& file, std::size_t at) {
  const std::string_view rest = std::string_view(file.code).substr(at);
  return file.path.ends_with(".cc") &&
         starts_with_any(rest, {"using namespace std::chrono", "using namespace std::literals"});
}

inline Findings banned_words(const SourceFile& file) {
  Findings findings;
  for (const WordRule& rule : word_rules()) {
    if (!rule.applies(file.path)) continue;
    for (std::size_t at : positions_of_word(file.code, rule.word)) {
      if (opens_literals(file, at)) continue;
      findings.push_back({file.path, line_at(file.code, at),
                          std::string(rule.word) + ": " + std::string(rule.reason)});
    }
  }
  return findings;
}

// Marks of unfinished work, in comments too. Written in halves, so that this file passes its own
// rule.
inline Findings unfinished_marks(const SourceFile& file) {
  static const std::string kFix = std::string("FIX") + "ME";
  static const std::string kLater = std::string("TO") + "DO";
  Findings findings;
  for (std::size_t at : positions_of_word(file.text, kFix)) {
    findings.push_back({file.path, line_at(file.text, at), kFix + ": finish it, or file an issue"});
  }
  for (std::size_t at : positions_of_word(file.text, kLater)) {
    if (file.text.compare(at + kLater.size(), 2, "(#") == 0) continue;
    findings.push_back(
        {file.path, line_at(file.text, at), kLater + ": name the issue, " + kLater + "(#12)"});
  }
  return findings;
}

inline Findings missing_pragma_once(const SourceFile& file) {
  if (!file.path.ends_with(".h") || file.code.find("#pragma once") != std::string::npos) return {};
  return {{file.path, 1, "lacks #pragma once"}};
}

// The line of the first class that `file` defines; a struct is a plain value and needs no thread
// rule.
inline std::optional<std::size_t> first_class_line(const SourceFile& file) {
  for (std::size_t at : positions_of_word(file.code, "class")) {
    const std::size_t end = file.code.find_first_of(";{>,=", at);
    if (end == std::string::npos || file.code[end] != '{') continue;
    const std::size_t line_begin = file.code.rfind('\n', at) + 1;
    if (trimmed(std::string_view(file.code).substr(line_begin, at - line_begin)).ends_with("enum"))
      continue;
    return line_at(file.code, at);
  }
  return std::nullopt;
}

inline Findings missing_thread_line(const SourceFile& file) {
  // Pure templates: they are as safe as what they hold.
  static const std::vector<std::string_view> kExempt = {"eventstore/base/result.h",
                                                        "eventstore/base/check.h"};
  const bool product = starts_with_any(file.path, {"eventstore/", "projections/", "gateway/"});
  if (!product || !file.path.ends_with(".h") || starts_with_any(file.path, kExempt)) return {};
  const std::optional<std::size_t> line = first_class_line(file);
  if (!line || file.text.find("Thread:") != std::string::npos) return {};
  return {{file.path, *line, "the class comment lacks its line 'Thread: ...'"}};
}

}  // namespace tidegate::tidy
