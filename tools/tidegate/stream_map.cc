#include "tools/tidegate/stream_map.h"

#include <utility>

#include <fmt/format.h>

namespace tidegate {
namespace {

// The wildcards of a pattern in their order: "*>" of "a.*.b.>".
std::string wildcards_of(std::string_view pattern) {
  std::string wildcards;
  while (!pattern.empty()) {
    const std::string_view token = next_token(pattern);
    if (token == "*" || token == ">") wildcards += token;
  }
  return wildcards;
}

// What the wildcards matched. The stream matches the pattern.
std::vector<std::string_view> captures_of(std::string_view pattern, std::string_view stream) {
  std::vector<std::string_view> captures;
  while (!pattern.empty()) {
    const std::string_view token = next_token(pattern);
    if (token == ">") {
      captures.push_back(stream);
      break;
    }
    const std::string_view taken = next_token(stream);
    if (token == "*") captures.push_back(taken);
  }
  return captures;
}

std::string fill(std::string_view name, const std::vector<std::string_view>& captures) {
  std::string filled;
  std::size_t next = 0;
  while (!name.empty()) {
    const std::string_view token = next_token(name);
    if (!filled.empty()) filled += '.';
    filled += token == "*" || token == ">" ? captures[next++] : token;
  }
  return filled;
}

Error bad_rule(std::string_view rule, std::string_view why) {
  return {Code::kBadArgument, fmt::format("--map '{}': {}", rule, why)};
}

}  // namespace

Result<StreamMap> StreamMap::parse(const std::vector<std::string>& rules) {
  StreamMap map;
  for (const std::string& rule : rules) {
    const std::size_t equals = rule.find('=');
    if (equals == std::string::npos)
      return bad_rule(rule, "it is OLD=NEW, e.g. 'orders.>=copy.orders.>'");
    Result<Pattern> pattern = Pattern::parse(std::string_view(rule).substr(0, equals));
    if (!pattern) return bad_rule(rule, pattern.error().message);
    // A template has the grammar of a pattern.
    Result<Pattern> name = Pattern::parse(std::string_view(rule).substr(equals + 1));
    if (!name) return bad_rule(rule, name.error().message);
    if (!wildcards_of(pattern->text()).starts_with(wildcards_of(name->text()))) {
      return bad_rule(rule, "the wildcards of NEW must be those of OLD, in the same order");
    }
    map.rules_.push_back({*std::move(pattern), name->text()});
  }
  return map;
}

Result<std::string> StreamMap::map(std::string_view stream) const {
  for (const Rule& rule : rules_) {
    if (!rule.pattern.matches(stream)) continue;
    std::string name = fill(rule.name, captures_of(rule.pattern.text(), stream));
    if (Status good = check_publishable_name(name); !good) {
      return Error{good.error().code, fmt::format("--map turns '{}' into '{}': {}", stream, name,
                                                  good.error().message)};
    }
    return name;
  }
  return std::string(stream);
}

}  // namespace tidegate
