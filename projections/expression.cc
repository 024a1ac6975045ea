#include "projections/expression.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/filter.h"

namespace tidegate {
namespace {

using ExpressionKind = Expression::Kind;

constexpr std::string_view kWhatIsAnExpression =
    "write /name for a member of the data, text in single quotes, attribute.NAME, stream[0], or "
    "one "
    "of data, stream, type, source, id, subject, time, append_time, sequence, revision, bytes";

struct NamedExpression {
  std::string_view name;
  ExpressionKind kind;
};
constexpr std::array kNamedExpressions = {
    NamedExpression{"data", ExpressionKind::kData},
    NamedExpression{"stream", ExpressionKind::kStream},
    NamedExpression{"type", ExpressionKind::kType},
    NamedExpression{"source", ExpressionKind::kSource},
    NamedExpression{"id", ExpressionKind::kId},
    NamedExpression{"subject", ExpressionKind::kSubject},
    NamedExpression{"time", ExpressionKind::kTime},
    NamedExpression{"append_time", ExpressionKind::kAppendTime},
    NamedExpression{"sequence", ExpressionKind::kSequence},
    NamedExpression{"revision", ExpressionKind::kRevision},
    NamedExpression{"bytes", ExpressionKind::kBytes},
};

Error expression_error(std::string_view text, std::string_view what) {
  return {Code::kBadArgument, fmt::format("\"{}\" is no expression: {}", printable(text), what)};
}

std::string_view without_spaces(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

Status parse_pointer(std::string_view text, Expression& expression) {
  expression.kind = ExpressionKind::kPointer;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '/') {
      expression.pointer.emplace_back();
    } else if (text[i] != '~') {
      expression.pointer.back() += text[i];
    } else if (i + 1 < text.size() && (text[i + 1] == '0' || text[i + 1] == '1')) {
      expression.pointer.back() += text[++i] == '0' ? '~' : '/';
    } else {
      return expression_error(text, "in a JSON pointer ~ stands only in ~0 (for ~) and ~1 (for /)");
    }
  }
  if (expression.pointer.size() <= Expression::kPointerTokensMax) return {};
  return expression_error(
      text, fmt::format("a JSON pointer has at most {} parts", Expression::kPointerTokensMax));
}

Status parse_text_literal(std::string_view text, Expression& expression) {
  std::string value;
  const auto not_closed = [&] {
    return expression_error(text, "text ends with a single quote; inside of it, two stand for one");
  };
  if (text.size() < 2 || text.back() != '\'') return not_closed();
  const std::string_view inside = text.substr(1, text.size() - 2);
  for (std::size_t i = 0; i < inside.size(); ++i) {
    value += inside[i];
    if (inside[i] != '\'') continue;
    if (i + 1 == inside.size() || inside[i + 1] != '\'') return not_closed();
    ++i;
  }
  expression.kind = ExpressionKind::kLiteral;
  expression.literal = Json(std::move(value));
  return {};
}

Status parse_token(std::string_view text, Expression& expression) {
  std::string_view index = text.substr(std::string_view("stream[").size());
  if (index.ends_with(']')) index.remove_suffix(1);
  const auto number = parse_u64(index);
  if (!text.ends_with(']') || !number || *number >= kTokensMax) {
    return expression_error(
        text, fmt::format("the tokens of a stream are stream[0] to stream[{}]", kTokensMax - 1));
  }
  expression.kind = ExpressionKind::kToken;
  expression.number = *number;
  return {};
}

Status parse_attribute(std::string_view text, Expression& expression) {
  constexpr std::size_t kNameBytesMax = 20;
  const std::string_view name = text.substr(std::string_view("attribute.").size());
  const bool is_name = !name.empty() && name.size() <= kNameBytesMax &&
                       std::all_of(name.begin(), name.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                       });
  if (!is_name) {
    return expression_error(
        text, fmt::format("an attribute's name is 1 to {} characters of a-z 0-9", kNameBytesMax));
  }
  expression.kind = ExpressionKind::kAttribute;
  expression.attribute = name;
  return {};
}

Status parse_expression_kind(std::string_view text, Expression& expression) {
  if (text.starts_with('/')) return parse_pointer(text, expression);
  if (text.starts_with('\'')) return parse_text_literal(text, expression);
  if (text.starts_with("stream[")) return parse_token(text, expression);
  if (text.starts_with("attribute.")) return parse_attribute(text, expression);
  const auto* const named =
      std::find_if(kNamedExpressions.begin(), kNamedExpressions.end(),
                   [text](const NamedExpression& candidate) { return candidate.name == text; });
  if (named == kNamedExpressions.end()) return expression_error(text, kWhatIsAnExpression);
  expression.kind = named->kind;
  return {};
}

// Where the expression that begins at `from` ends: at the first brace outside of quotes.
std::size_t end_of_key_expression(std::string_view text, std::size_t from) {
  bool is_quoted = false;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (text[i] == '\'') is_quoted = !is_quoted;
    if (text[i] == '}' && !is_quoted) return i;
  }
  return std::string_view::npos;
}

}  // namespace

Result<Expression> parse_expression(std::string_view text) {
  text = without_spaces(text);
  if (text.empty()) {
    return expression_error(text, fmt::format("it is empty; {}", kWhatIsAnExpression));
  }
  if (text.size() > Expression::kTextBytesMax) {
    return expression_error(text, fmt::format("it has {} bytes; at most {} are allowed",
                                              text.size(), Expression::kTextBytesMax));
  }
  Expression expression;
  expression.text = text;
  if (Status parsed = parse_expression_kind(text, expression); !parsed) return parsed.error();
  return expression;
}

Result<std::vector<KeyPart>> parse_key(std::string_view text) {
  std::vector<KeyPart> parts(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if (text[i] == '}' && !is_doubled) {
      return Error{Code::kBadArgument,
                   "the key has a closing brace without an opening one; write "
                   "}} for a brace in the key itself"};
    }
    if ((text[i] == '{' || text[i] == '}') && is_doubled) {
      parts.back().text += text[i++];
    } else if (text[i] != '{') {
      parts.back().text += text[i];
    } else {
      const std::size_t end = end_of_key_expression(text, i + 1);
      if (end == std::string_view::npos) {
        return Error{Code::kBadArgument,
                     "the key has an opening brace without a closing one; "
                     "write {{ for a brace in the key itself"};
      }
      Result<Expression> expression = parse_expression(text.substr(i + 1, end - i - 1));
      if (!expression) return std::move(expression).error();
      parts.back().expression = *std::move(expression);
      parts.emplace_back();
      i = end;
    }
  }
  return parts;
}

void bind_pointers(Expression& expression, PointerFinder& finder) {
  // The pointer to the whole data has no tokens.
  if (expression.kind == ExpressionKind::kPointer || expression.kind == ExpressionKind::kData)
    expression.number = finder.add(expression.pointer);
  for (Expression& item : expression.items) bind_pointers(item, finder);
}

}  // namespace tidegate
