#include "projections/field_state.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// The longest number has 24 bytes, and a double may get two more.
constexpr std::size_t kFieldNumberBytes = 32;
constexpr std::string_view kBrokenData = "the data is not the JSON that it claims to be";

double as_field_double(const Json& number) {
  const auto* integer = number.as<std::int64_t>();
  return integer != nullptr ? static_cast<double>(*integer) : *number.as<double>();
}

bool is_field_number(const Json& value) {
  return value.as<std::int64_t>() != nullptr || value.as<double>() != nullptr;
}

std::string fold_total(const EventValue& value, FieldState& state) {
  if (!state.is_set) {
    state.value = Json(std::int64_t{0});
    state.is_set = true;
    state.bytes = kFieldNumberBytes;
  }
  auto* const total = state.value.as<std::int64_t>();
  if (total != nullptr && value.kind == EventValue::Kind::kInteger) {
    if (!__builtin_add_overflow(*total, value.integer, total)) return {};
    return fmt::format("adding {} goes beyond 64 bits", value.integer);
  }
  const double addend =
      value.kind == EventValue::Kind::kInteger ? static_cast<double>(value.integer) : value.number;
  const double sum = as_field_double(state.value) + addend;
  if (!std::isfinite(sum)) return fmt::format("adding {} goes beyond what a double holds", addend);
  state.value = Json(sum);
  return {};
}

int field_order(std::int64_t left, std::int64_t right) {
  return left < right ? -1 : left > right ? 1 : 0;
}

// Exact where a conversion to double is not.
int field_order(std::int64_t integer, double number) {
  constexpr double kBeyond = 9'223'372'036'854'775'808.0;  // 2^63
  if (number >= kBeyond) return -1;
  if (number < -kBeyond) return 1;
  const double whole = std::trunc(number);
  const int order = field_order(integer, static_cast<std::int64_t>(whole));
  if (order != 0) return order;
  return whole < number ? -1 : whole > number ? 1 : 0;
}

int field_order_of_numbers(const Json& held, const EventValue& value) {
  const auto* const integer = held.as<std::int64_t>();
  if (value.kind == EventValue::Kind::kInteger) {
    return integer != nullptr ? field_order(*integer, value.integer)
                              : -field_order(value.integer, *held.as<double>());
  }
  if (integer != nullptr) return field_order(*integer, value.number);
  const double number = *held.as<double>();
  return number < value.number ? -1 : number > value.number ? 1 : 0;
}

int field_order_of_texts(std::string_view held, std::string_view value, bool are_times) {
  if (are_times) {
    // Times leave out zeros at their end, so their bytes are not in their order.
    const auto held_us = parse_time(held);
    const auto value_us = parse_time(value);
    if (held_us && value_us) return field_order(*held_us, *value_us);
  }
  return held.compare(value);
}

std::string fold_extreme(const FieldRule& rule, const EventValue& value, EventValues& values,
                         FieldState& state) {
  const bool is_text = value.kind == EventValue::Kind::kText;
  if (!is_text && !value.is_number())
    return fmt::format("{} is neither a number nor text", value.shown());
  if (state.is_set) {
    const auto* const held = state.value.as<std::string>();
    if (is_text != (held != nullptr)) {
      return fmt::format("{} cannot be compared with {}, which the row has", value.shown(),
                         is_text ? "a number" : "text");
    }
    const int order = is_text ? field_order_of_texts(*held, value.text, rule.expression.is_time())
                              : field_order_of_numbers(state.value, value);
    if (rule.op == FieldRule::Op::kMin ? order <= 0 : order >= 0) return {};
  }
  if (!values.make(value, state.value)) return std::string(kBrokenData);
  state.is_set = true;
  state.bytes = state.value.text_bytes();
  return {};
}

std::string fold_aggregate(const FieldRule& rule, EventValues& values, FieldState& state) {
  const EventValue value = values.of(rule.expression);
  if (value.is_missing()) return {};
  if (value.kind == EventValue::Kind::kBroken) return std::string(kBrokenData);
  if (rule.op == FieldRule::Op::kMin || rule.op == FieldRule::Op::kMax)
    return fold_extreme(rule, value, values, state);
  if (!value.is_number()) return fmt::format("{} is not a number", value.shown());
  if (rule.op == FieldRule::Op::kAvg) ++state.count;
  return fold_total(value, state);
}

// What the expression makes of the event. `made` stays as it is when there is nothing or null.
std::string make_field_value(const Expression& expression, EventValues& values, Json& made,
                             EventValue::Kind& kind) {
  if (expression.is_composite()) {
    kind = EventValue::Kind::kTree;
    return values.make(expression, made) ? std::string() : std::string(kBrokenData);
  }
  const EventValue value = values.of(expression);
  kind = value.kind;
  if (value.is_missing()) return {};
  return values.make(value, made) ? std::string() : std::string(kBrokenData);
}

std::string fold_value(const FieldRule& rule, EventValues& values, FieldState& state) {
  EventValue::Kind kind = EventValue::Kind::kAbsent;
  // Into the memory that the field has: text of the same length costs no allocation.
  std::string wrong = make_field_value(rule.expression, values, state.value, kind);
  if (!wrong.empty() || kind == EventValue::Kind::kAbsent) return wrong;
  if (kind == EventValue::Kind::kNull) {
    if (rule.op != FieldRule::Op::kSet) return {};
    state.value = Json();
  }
  state.is_set = true;
  state.bytes = state.value.text_bytes();
  return {};
}

std::string fold_merge(const FieldRule& rule, EventValues& values, FieldState& state) {
  Json patch;
  EventValue::Kind kind = EventValue::Kind::kAbsent;
  std::string wrong = make_field_value(rule.expression, values, patch, kind);
  const bool is_missing = kind == EventValue::Kind::kAbsent || kind == EventValue::Kind::kNull;
  if (!wrong.empty() || is_missing) return wrong;
  state.value.merge(patch);
  state.is_set = true;
  state.bytes = state.value.text_bytes();
  return {};
}

std::string fold_append(const FieldRule& rule, EventValues& values, FieldState& state) {
  Json item;
  EventValue::Kind kind = EventValue::Kind::kAbsent;
  std::string wrong = make_field_value(rule.expression, values, item, kind);
  const bool is_missing = kind == EventValue::Kind::kAbsent || kind == EventValue::Kind::kNull;
  if (!wrong.empty() || is_missing) return wrong;
  if (!state.is_set) {
    state.value = Json(Json::Array());
    state.is_set = true;
    state.bytes = 2;  // the brackets
  }
  Json::Array& list = *state.value.as<Json::Array>();
  state.bytes += item.text_bytes() + (list.empty() ? 0 : 1);
  list.push_back(std::move(item));
  while (list.size() > rule.keep) {
    state.bytes -= list.front().text_bytes() + 1;
    list.erase(list.begin());
  }
  return {};
}

}  // namespace

std::string fold_field(const FieldRule& rule, EventValues& values, FieldState& state) {
  switch (rule.op) {
    case FieldRule::Op::kCount: {
      EventValue one;
      one.kind = EventValue::Kind::kInteger;
      one.integer = 1;
      return fold_total(one, state);
    }
    case FieldRule::Op::kSum:
    case FieldRule::Op::kMin:
    case FieldRule::Op::kMax:
    case FieldRule::Op::kAvg:
      return fold_aggregate(rule, values, state);
    case FieldRule::Op::kFirst:
      return state.is_set ? std::string() : fold_value(rule, values, state);
    case FieldRule::Op::kLast:
    case FieldRule::Op::kSet:
      return fold_value(rule, values, state);
    case FieldRule::Op::kMerge:
      return fold_merge(rule, values, state);
    case FieldRule::Op::kAppend:
      break;
  }
  return fold_append(rule, values, state);
}

void append_field(std::string& out, Declarative::Keeping keeping, const FieldState& state) {
  if (keeping != Declarative::Keeping::kAverage) {
    state.value.append_to(out);
  } else {
    append_json_double(out, as_field_double(state.value) / static_cast<double>(state.count));
  }
}

Json average_state(const FieldState& state) {
  Json::Array sum_and_count;
  sum_and_count.push_back(state.value);
  sum_and_count.emplace_back(static_cast<std::int64_t>(state.count));
  return Json(std::move(sum_and_count));
}

bool restore_field(Declarative::Keeping keeping, Json value, const Json* average,
                   FieldState& state) {
  bool fits = true;
  switch (keeping) {
    case Declarative::Keeping::kAverage: {
      const auto* const parts = average == nullptr ? nullptr : average->as<Json::Array>();
      if (parts == nullptr || parts->size() != 2) return false;
      const auto* const count = (*parts)[1].as<std::int64_t>();
      fits = is_field_number((*parts)[0]) && count != nullptr && *count > 0;
      if (!fits) return false;
      value = (*parts)[0];
      state.count = static_cast<std::uint64_t>(*count);
      break;
    }
    case Declarative::Keeping::kTotal:
      fits = is_field_number(value);
      break;
    case Declarative::Keeping::kMin:
    case Declarative::Keeping::kMax:
      fits = is_field_number(value) || value.as<std::string>() != nullptr;
      break;
    case Declarative::Keeping::kList:
      fits = value.as<Json::Array>() != nullptr;
      break;
    case Declarative::Keeping::kValue:
      break;
  }
  const bool is_sum =
      keeping == Declarative::Keeping::kTotal || keeping == Declarative::Keeping::kAverage;
  state.is_set = true;
  state.value = std::move(value);
  state.bytes = is_sum ? kFieldNumberBytes : state.value.text_bytes();
  return fits;
}

}  // namespace tidegate
