#include "projections/declarative.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "projections/definition_toml.h"

namespace tidegate {
namespace {

using DeclarativeOp = FieldRule::Op;
using DeclarativeKeeping = Declarative::Keeping;

// When you add an operation, add its row in the order of FieldRule::Op, and what it does in
// declarative_fold.cc.
struct FieldOp {
  std::string_view name;
  DeclarativeKeeping keeping;
  bool is_numeric;
};
constexpr std::array kFieldOps = {
    FieldOp{"count", DeclarativeKeeping::kTotal, false},
    FieldOp{"sum", DeclarativeKeeping::kTotal, true},
    FieldOp{"min", DeclarativeKeeping::kMin, false},
    FieldOp{"max", DeclarativeKeeping::kMax, false},
    FieldOp{"avg", DeclarativeKeeping::kAverage, true},
    FieldOp{"first", DeclarativeKeeping::kValue, false},
    FieldOp{"last", DeclarativeKeeping::kValue, false},
    FieldOp{"set", DeclarativeKeeping::kValue, false},
    FieldOp{"merge", DeclarativeKeeping::kValue, false},
    FieldOp{"append", DeclarativeKeeping::kList, false},
};

const FieldOp& field_op(DeclarativeOp op) {
  return kFieldOps[static_cast<std::size_t>(op)];
}

std::optional<DeclarativeOp> field_op_named(std::string_view name) {
  for (std::size_t i = 0; i < kFieldOps.size(); ++i) {
    if (kFieldOps[i].name == name) return static_cast<DeclarativeOp>(i);
  }
  return std::nullopt;
}

// "90s", "5m", "1h", "7d"; nothing when it is no such time or out of bounds.
std::optional<std::int64_t> window_us_of(std::string_view text) {
  constexpr std::uint64_t kSecondsMax = 366 * 86'400;
  if (text.empty()) return std::nullopt;
  const std::uint64_t unit = text.back() == 's'   ? 1
                             : text.back() == 'm' ? 60
                             : text.back() == 'h' ? 3600
                             : text.back() == 'd' ? 86'400
                                                  : 0;
  const auto number = parse_u64(text.substr(0, text.size() - 1));
  if (unit == 0 || !number || *number == 0 || *number > kSecondsMax / unit) return std::nullopt;
  return static_cast<std::int64_t>(*number * unit) * 1'000'000;
}

// Reads the part of a definition that declares a fold. Every step leaves what it read in `made_`.
class DeclarativeReader {
 public:
  DeclarativeReader(const toml::table& definition, const Filter& filter)
      : definition_(definition), filter_(filter) {}

  Result<Declarative> read();

 private:
  struct KnownField {
    DeclarativeOp op = DeclarativeOp::kCount;  // of its first rule
    unsigned line = 0;
  };

  Status read_key();
  Status read_window();
  Status read_types();
  Status read_type(const toml::key& type, const toml::node& node);
  Status read_rule(const toml::key& field, const toml::node& node, TypeRules& type);
  Result<FieldRule> read_operation(const toml::key& field, const toml::table& table);
  Status read_operand(const toml::key& op, const toml::node& node, FieldRule& rule);
  Status read_keep(const toml::key& field, const toml::node* keep, FieldRule& rule);
  Status enter_field(const toml::key& field, const FieldRule& rule);
  void number_fields();

  const toml::table& definition_;
  const Filter& filter_;
  Declarative made_;
  std::map<std::string, KnownField, std::less<>> fields_;
  // The field of every rule, in the order in which they were read.
  std::vector<std::string> rule_fields_;
};

Result<Expression> read_expression(const toml::node& node, int depth);

Result<Expression> read_composite(const toml::node& node, int depth) {
  if (depth == Expression::kDepthMax) {
    return definition_error(node.source(),
                            fmt::format("tables and arrays of expressions are nested more than {} "
                                        "deep",
                                        Expression::kDepthMax));
  }
  Expression made;
  const toml::table* const table = node.as_table();
  made.kind = table != nullptr ? Expression::Kind::kObject : Expression::Kind::kArray;
  made.text = table != nullptr ? "a table" : "an array";
  if (table != nullptr) {
    for (const auto& [name, item] : *table) {
      auto expression = read_expression(item, depth + 1);
      if (!expression) return expression;
      made.names.emplace_back(name.str());
      made.items.push_back(*std::move(expression));
    }
    return made;
  }
  for (const toml::node& item : *node.as_array()) {
    auto expression = read_expression(item, depth + 1);
    if (!expression) return expression;
    made.items.push_back(*std::move(expression));
  }
  return made;
}

Result<Expression> read_expression(const toml::node& node, int depth) {
  if (const auto text = node.value_exact<std::string>()) {
    auto expression = parse_expression(*text);
    if (!expression) return definition_error(node.source(), expression.error().message);
    return expression;
  }
  if (node.is_table() || node.is_array()) return read_composite(node, depth);
  Expression literal;
  if (const auto integer = node.value_exact<std::int64_t>()) {
    literal.literal = Json(std::int64_t{*integer});
  } else if (const auto boolean = node.value_exact<bool>()) {
    literal.literal = Json(bool{*boolean});
  } else if (const auto number = node.value_exact<double>(); number && std::isfinite(*number)) {
    literal.literal = Json(double{*number});
  } else {
    return definition_error(node.source(),
                            "neither a date nor inf nor nan is an expression: write a date as text "
                            "in single quotes within double ones");
  }
  literal.text = literal.literal.text();
  return literal;
}

// Whether the operation can never have such a value, which is better said now than at an event.
bool is_never_a_number(const Expression& expression) {
  switch (expression.kind) {
    case Expression::Kind::kPointer:
    case Expression::Kind::kData:
    case Expression::Kind::kSequence:
    case Expression::Kind::kRevision:
    case Expression::Kind::kBytes:
    case Expression::Kind::kAttribute:
      return false;
    case Expression::Kind::kLiteral:
      return expression.literal.as<std::int64_t>() == nullptr &&
             expression.literal.as<double>() == nullptr;
    default:
      return true;
  }
}

Result<Declarative> DeclarativeReader::read() {
  if (Status good = read_key(); !good) return good.error();
  if (Status good = read_window(); !good) return good.error();
  if (Status good = read_types(); !good) return good.error();
  number_fields();
  return std::move(made_);
}

Status DeclarativeReader::read_key() {
  const toml::node* const node = definition_.get("key");
  if (node == nullptr) {
    made_.key.push_back({"all", std::nullopt});
    return {};
  }
  const auto text = node->value_exact<std::string>();
  if (!text || text->empty()) {
    return definition_error(node->source(),
                            "key must be a text in quotes, such as \"{stream[1]}\"");
  }
  auto key = parse_key(*text);
  if (!key) return definition_error(node->source(), key.error().message);
  made_.key = *std::move(key);
  return {};
}

Status DeclarativeReader::read_window() {
  const toml::node* const node = definition_.get("window");
  if (node == nullptr) return {};
  const auto window_us = window_us_of(node->value_exact<std::string>().value_or(""));
  if (!window_us) {
    return definition_error(node->source(),
                            "window must be a whole number of s, m, h or d in quotes, from \"1s\" "
                            "to \"366d\", such as \"1h\"");
  }
  made_.window_us = *window_us;
  return {};
}

Status DeclarativeReader::read_types() {
  const toml::node* const node = definition_.get("on");
  const toml::table* const types = node == nullptr ? nullptr : node->as_table();
  if (types == nullptr || types->empty()) {
    return definition_error(node == nullptr ? definition_.source() : node->source(),
                            "the definition says not what to do: write a table "
                            "[on.\"event.type\"] or [on.\"*\"], or a script");
  }
  if (types->size() > Declarative::kTypesMax) {
    return definition_error(types->source(), fmt::format("{} types have tables; at most {} can",
                                                         types->size(), Declarative::kTypesMax));
  }
  for (const auto& [type, rules] : *types) {
    if (Status good = read_type(type, rules); !good) return good;
  }
  return {};
}

Status DeclarativeReader::read_type(const toml::key& type, const toml::node& node) {
  const toml::table* const rules = node.as_table();
  if (rules == nullptr || rules->empty()) {
    return definition_error(type.source(),
                            fmt::format("on.\"{}\" must be a table with a field and its operation "
                                        "on each line, or with delete = true",
                                        printable(type.str())));
  }
  if (type.str().empty() || type.str().size() > kTypeBytesMax) {
    return definition_error(type.source(),
                            fmt::format("an event type has 1 to {} bytes", kTypeBytesMax));
  }
  if (type.str() != "*" && !filter_.matches_type(type.str())) {
    return definition_error(type.source(),
                            fmt::format("\"{}\" is none of types, so its rules would never apply: "
                                        "add it there; a type with dots stands in quotes here, "
                                        "[on.\"order.placed\"]",
                                        printable(type.str())));
  }
  TypeRules made;
  made.type = type.str();
  for (const auto& [field, rule] : *rules) {
    if (Status good = read_rule(field, rule, made); !good) return good;
  }
  if (made.is_delete && !made.rules.empty()) {
    return definition_error(type.source(),
                            "delete = true stands alone: the row goes with all its fields");
  }
  made_.on.push_back(std::move(made));
  return {};
}

Status DeclarativeReader::read_rule(const toml::key& field, const toml::node& node,
                                    TypeRules& type) {
  if (field.str() == "delete") {
    type.is_delete = node.value_exact<bool>().value_or(false);
    if (type.is_delete) return {};
    return definition_error(field.source(), "delete must be true, and no field can have that name");
  }
  const toml::table* const table = node.as_table();
  if (table == nullptr) {
    return definition_error(field.source(), fmt::format("the field \"{}\" needs an operation, such "
                                                        "as {{ count = true }}",
                                                        printable(field.str())));
  }
  auto rule = read_operation(field, *table);
  if (!rule) return std::move(rule).error();
  if (Status good = enter_field(field, *rule); !good) return good;
  type.rules.push_back(*std::move(rule));
  rule_fields_.emplace_back(field.str());
  return {};
}

Result<FieldRule> DeclarativeReader::read_operation(const toml::key& field,
                                                    const toml::table& table) {
  FieldRule rule;
  const toml::node* keep = nullptr;
  bool has_op = false;
  for (const auto& [name, node] : table) {
    if (name.str() == "keep") {
      keep = &node;
      continue;
    }
    const std::optional<DeclarativeOp> op = field_op_named(name.str());
    if (!op) {
      return definition_error(
          name.source(),
          fmt::format("\"{}\" is no operation: use count, sum, min, max, avg, first, last, set, "
                      "merge or append; a type with dots stands in quotes, [on.\"order.placed\"]",
                      printable(name.str())));
    }
    if (has_op) {
      return definition_error(
          name.source(), fmt::format("the field \"{}\" has two operations: use a field for each",
                                     printable(field.str())));
    }
    has_op = true;
    rule.op = *op;
    if (Status good = read_operand(name, node, rule); !good) return good.error();
  }
  if (!has_op) {
    return definition_error(field.source(), fmt::format("the field \"{}\" has no operation, such "
                                                        "as {{ count = true }}",
                                                        printable(field.str())));
  }
  if (Status good = read_keep(field, keep, rule); !good) return good.error();
  return rule;
}

Status DeclarativeReader::read_operand(const toml::key& op, const toml::node& node,
                                       FieldRule& rule) {
  if (rule.op == DeclarativeOp::kCount) {
    if (node.value_exact<bool>().value_or(false)) return {};
    return definition_error(op.source(), "count takes no value: write count = true");
  }
  auto expression = read_expression(node, 0);
  if (!expression) return std::move(expression).error();
  if (field_op(rule.op).is_numeric && is_never_a_number(*expression)) {
    return definition_error(op.source(), fmt::format("{} needs a number, and {} never is one",
                                                     op.str(), printable(expression->text)));
  }
  const bool is_compared = rule.op == DeclarativeOp::kMin || rule.op == DeclarativeOp::kMax;
  if (is_compared && (expression->is_composite() || expression->literal.as<bool>() != nullptr)) {
    return definition_error(op.source(),
                            fmt::format("{} needs a number or text, and {} never is one", op.str(),
                                        printable(expression->text)));
  }
  rule.expression = *std::move(expression);
  return {};
}

Status DeclarativeReader::read_keep(const toml::key& field, const toml::node* keep,
                                    FieldRule& rule) {
  if (rule.op != DeclarativeOp::kAppend) {
    if (keep == nullptr) return {};
    return definition_error(keep->source(), "keep belongs to append: how many values stay");
  }
  const toml::source_region& place = keep == nullptr ? field.source() : keep->source();
  const std::int64_t number = keep == nullptr ? 0 : keep->value_exact<std::int64_t>().value_or(0);
  if (number < 1 || number > static_cast<std::int64_t>(FieldRule::kKeepMax)) {
    return definition_error(place, fmt::format("append needs to know how many of the newest values "
                                               "stay: keep = 20, from 1 to {}",
                                               FieldRule::kKeepMax));
  }
  rule.keep = static_cast<std::size_t>(number);
  return {};
}

Status DeclarativeReader::enter_field(const toml::key& field, const FieldRule& rule) {
  const std::string_view name = field.str();
  if (name.empty() || name.size() > Declarative::kFieldNameBytesMax) {
    return definition_error(field.source(), fmt::format("a field's name has 1 to {} bytes",
                                                        Declarative::kFieldNameBytesMax));
  }
  const auto [known, is_new] = fields_.try_emplace(std::string(name));
  if (is_new) {
    known->second = {rule.op, field.source().begin.line};
    if (fields_.size() <= Declarative::kFieldsMax) return {};
    return definition_error(field.source(),
                            fmt::format("a row has at most {} fields", Declarative::kFieldsMax));
  }
  if (field_op(known->second.op).keeping == field_op(rule.op).keeping) return {};
  return definition_error(
      field.source(),
      fmt::format(
          "the field \"{}\" has {} in line {} and {} here, which keep different things: use "
          "a field for each",
          printable(name), field_op_name(known->second.op), known->second.line,
          field_op_name(rule.op)));
}

void DeclarativeReader::number_fields() {
  for (const auto& [name, known] : fields_) {
    made_.fields.push_back({name, field_op(known.op).keeping});
  }
  std::size_t next = 0;
  for (TypeRules& type : made_.on) {
    for (FieldRule& rule : type.rules) {
      const auto place = fields_.find(rule_fields_[next++]);
      rule.field = static_cast<std::size_t>(std::distance(fields_.begin(), place));
    }
  }
}

}  // namespace

std::string_view field_op_name(FieldRule::Op op) {
  return field_op(op).name;
}

Result<Declarative> read_declarative(const toml::table& definition, const Filter& filter) {
  return DeclarativeReader(definition, filter).read();
}

}  // namespace tidegate
