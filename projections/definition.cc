#include "projections/definition.h"

#include <optional>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "eventstore/base/text.h"
#include "projections/definition_toml.h"

namespace tidegate {
namespace {

constexpr std::size_t kProjectionNameBytesMax = 128;

Status check_definition_name(std::string_view name) {
  const bool is_built_in = name.starts_with('_');
  if (!is_built_in) return check_projection_name(name);
  if (name.size() > kProjectionNameBytesMax) {
    return Error{Code::kBadArgument,
                 fmt::format("the name has {} bytes; a projection's has at most {}", name.size(),
                             kProjectionNameBytesMax)};
  }
  return check_stream_name(name);
}

// Nothing when it is not a text.
std::optional<std::string> definition_text(const toml::node& node) {
  return node.value_exact<std::string>();
}

Status read_definition_name(const toml::table& table, std::string& name) {
  const toml::node* const node = table.get("name");
  if (node == nullptr) {
    return definition_error(table.source(),
                            "the definition has no name: write name = \"departures\"");
  }
  auto text = definition_text(*node);
  if (!text) return definition_error(node->source(), "name must be a text in quotes");
  if (Status good = check_definition_name(*text); !good)
    return definition_error(node->source(), good.error().message);
  name = *std::move(text);
  return {};
}

Status read_definition_description(const toml::table& table, std::string& description) {
  const toml::node* const node = table.get("description");
  if (node == nullptr) return {};
  auto text = definition_text(*node);
  if (!text || text->size() > Definition::kDescriptionBytesMax) {
    return definition_error(node->source(),
                            fmt::format("description must be a text in quotes of at most {} bytes",
                                        Definition::kDescriptionBytesMax));
  }
  description = *std::move(text);
  return {};
}

Result<std::vector<std::string>> read_definition_texts(const toml::node& node,
                                                       std::string_view what) {
  std::vector<std::string> texts;
  if (const toml::array* const list = node.as_array()) {
    for (const toml::node& element : *list) {
      if (auto text = definition_text(element)) texts.push_back(*std::move(text));
    }
    if (texts.size() == list->size()) return texts;
  }
  return definition_error(node.source(), fmt::format("{} must be a list of texts in quotes", what));
}

Result<Filter> read_definition_filter(const toml::table& table) {
  const toml::node* const node = table.get("streams");
  if (node == nullptr) {
    return definition_error(
        table.source(),
        "the definition names no streams: write streams = [\"orders.>\"], or [\">\"] for all");
  }
  const auto streams = read_definition_texts(*node, "streams");
  if (!streams) return streams.error();
  // Pattern by pattern first, so that the line is that of the wrong one.
  const toml::array& list = *node->as_array();
  for (std::size_t i = 0; i < streams->size(); ++i) {
    const auto pattern = Pattern::parse((*streams)[i]);
    if (!pattern) return definition_error(list[i].source(), pattern.error().message);
  }
  std::vector<std::string> types;
  const toml::node* const types_node = table.get("types");
  if (types_node != nullptr) {
    auto texts = read_definition_texts(*types_node, "types");
    if (!texts) return std::move(texts).error();
    if (texts->empty()) {
      return definition_error(types_node->source(),
                              "types is empty: leave it out to have every type");
    }
    types = *std::move(texts);
  }
  auto filter = Filter::make(*streams, types);
  if (filter) return filter;
  const bool is_about_types = streams->size() <= kPatternsMax && types_node != nullptr;
  return definition_error(is_about_types ? types_node->source() : node->source(),
                          filter.error().message);
}

Status check_definition_keys(const toml::table& table) {
  const bool is_script = table.contains("script");
  for (const auto& [key, node] : table) {
    const std::string_view name = key.str();
    const bool is_common = name == "name" || name == "description" || name == "streams" ||
                           name == "types" || name == "script";
    const bool is_declarative = name == "key" || name == "window" || name == "on";
    if (!is_common && !is_declarative) {
      return definition_error(
          key.source(), fmt::format("unknown key \"{}\": there are name, description, streams, "
                                    "types, key, window, on and script",
                                    printable(name)));
    }
    if (is_declarative && is_script) {
      return definition_error(key.source(), fmt::format("\"{}\" and a script exclude each other: "
                                                        "the script does all of it itself",
                                                        name));
    }
  }
  return {};
}

Result<Definition> read_definition_table(const toml::table& table) {
  if (Status good = check_definition_keys(table); !good) return good.error();
  Definition definition;
  if (Status good = read_definition_name(table, definition.name); !good) return good.error();
  if (Status good = read_definition_description(table, definition.description); !good)
    return good.error();
  auto filter = read_definition_filter(table);
  if (!filter) return std::move(filter).error();
  definition.filter = *std::move(filter);
  if (const toml::node* const script = table.get("script")) {
    auto source = definition_text(*script);
    if (!source) return definition_error(script->source(), "script must be a text: '''...'''");
    definition.fold = Script{*std::move(source)};
    return definition;
  }
  auto rules = read_declarative(table, definition.filter);
  if (!rules) return std::move(rules).error();
  definition.fold = *std::move(rules);
  return definition;
}

// Finds what toml++ would make a tower of tables of: it has no limit of its own on the segments of
// a key, and frees tables by recursion, so that one long key would take the whole stack. Knows just
// enough of TOML to tell keys from texts and comments; what else is wrong, toml++ will say.
class TomlDepthCheck {
 public:
  explicit TomlDepthCheck(std::string_view source) : source_(source) {}

  Status run() {
    while (at_ < source_.size()) {
      const char c = source_[at_];
      if (c == '"' || c == '\'') {
        pass_text(c);
      } else if (c == '#') {
        at_ = std::min(source_.find('\n', at_), source_.size());
      } else {
        if (!count(c)) return too_deep();
        ++at_;
      }
    }
    return {};
  }

 private:
  static constexpr std::size_t kDotsMax = 64;  // of one key
  static constexpr std::size_t kBracketsMax = 32;

  bool count(char c) {
    if (c == '.') return ++dots_ <= kDotsMax;
    if (c == '\n' || c == '=' || c == ',') dots_ = 0;
    if (c == ']' || c == '}') brackets_ -= std::min<std::size_t>(brackets_, 1);
    return (c != '[' && c != '{') || ++brackets_ <= kBracketsMax;
  }

  // One that ends nowhere goes to the end of its line, or of everything: toml++ refuses it.
  void pass_text(char quote) {
    const std::string fence(3, quote);
    const bool has_lines = source_.substr(at_).starts_with(fence);
    at_ += has_lines ? 3 : 1;
    while (at_ < source_.size()) {
      const char c = source_[at_];
      if (c == '\\' && quote == '"') {
        at_ += 2;
      } else if (has_lines && source_.substr(at_).starts_with(fence)) {
        // Up to two more of them are the end of the text itself.
        for (std::size_t more = 0; more < 5 && at_ < source_.size() && source_[at_] == quote;
             ++more)
          ++at_;
        return;
      } else if (!has_lines && (c == quote || c == '\n')) {
        at_ += c == quote ? 1 : 0;
        return;
      } else {
        ++at_;
      }
    }
  }

  Status too_deep() const {
    const std::string_view before = source_.substr(0, at_);
    return Error{
        Code::kBadArgument,
        fmt::format("line {}: a key may have {} dots, and brackets be nested {} deep",
                    1 + std::count(before.begin(), before.end(), '\n'), kDotsMax, kBracketsMax)};
  }

  const std::string_view source_;
  std::size_t at_ = 0;
  std::size_t dots_ = 0;
  std::size_t brackets_ = 0;
};

}  // namespace

Error definition_error(const toml::source_region& place, std::string_view what) {
  // The root of a table that nothing opened has no place of its own.
  const unsigned line = place.begin.line == 0 ? 1U : place.begin.line;
  return {Code::kBadArgument, fmt::format("line {}: {}", line, what)};
}

Result<Definition> Definition::parse(std::string_view source) {
  if (source.size() > kTextBytesMax) {
    return Error{Code::kBadArgument, fmt::format("the definition has {} bytes; at most {} are read",
                                                 source.size(), kTextBytesMax)};
  }
  if (Status shallow = TomlDepthCheck(source).run(); !shallow) return shallow.error();
  // toml++ reports by exceptions; this is where they end.
  try {
    const toml::table table = toml::parse(source);
    auto definition = read_definition_table(table);
    if (definition) definition->text = source;
    return definition;
  } catch (const toml::parse_error& error) {
    return definition_error(error.source(), error.description());
  }
}

Status check_projection_name(std::string_view name) {
  if (name.size() > kProjectionNameBytesMax) {
    return Error{Code::kBadArgument,
                 fmt::format("the name has {} bytes; a projection's has at most {}", name.size(),
                             kProjectionNameBytesMax)};
  }
  const Status good = name.starts_with('_') || name.starts_with('$')
                          ? Status(Error{Code::kBadArgument,
                                         "names that begin with _ or $ are "
                                         "those of built-in projections"})
                          : check_stream_name(name);
  if (good) return {};
  return Error{Code::kBadArgument,
               fmt::format("\"{}\" is not a projection's name ({}): write words "
                           "of A-Z a-z 0-9 _ - joined by dots",
                           printable(name), good.error().message)};
}

}  // namespace tidegate
