#include "projections/json_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <simdjson.h>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

using JsonDoubleText = std::array<char, 40>;  // the longest has 24 characters, and ".0" may follow

std::string_view json_double_text(double value, JsonDoubleText& buffer) {
  constexpr std::size_t kWithoutSuffix = std::tuple_size_v<JsonDoubleText> - 2;
  const auto written = fmt::format_to_n(buffer.data(), kWithoutSuffix, "{}", value);
  std::size_t size = std::min(written.size, kWithoutSuffix);
  if (std::string_view(buffer.data(), size).find_first_of(".e") == std::string_view::npos) {
    buffer[size++] = '.';
    buffer[size++] = '0';
  }
  return {buffer.data(), size};
}

// As append_json_string writes it.
std::size_t json_string_bytes(std::string_view text) {
  std::size_t bytes = text.size() + 2;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '"' || byte == '\\' || byte == '\n' || byte == '\r' || byte == '\t') {
      bytes += 1;
    } else if (byte < 0x20 || byte == 0x7F) {
      bytes += 5;
    }
  }
  return bytes;
}

Json json_from_dom(simdjson::dom::element element) {
  using Type = simdjson::dom::element_type;
  switch (element.type()) {
    case Type::ARRAY: {
      Json::Array array;
      const simdjson::dom::array items = element.get_array().value_unsafe();
      for (const simdjson::dom::element item : items) {
        array.push_back(json_from_dom(item));
      }
      return Json(std::move(array));
    }
    case Type::OBJECT: {
      Json::Object object;
      const simdjson::dom::object members = element.get_object().value_unsafe();
      for (const auto member : members) {
        object.try_emplace(std::string(member.key), json_from_dom(member.value));
      }
      return Json(std::move(object));
    }
    case Type::INT64:
      return Json(std::int64_t{element.get_int64().value_unsafe()});
    case Type::UINT64:
      return Json(static_cast<double>(element.get_uint64().value_unsafe()));
    case Type::DOUBLE:
      return Json(double{element.get_double().value_unsafe()});
    case Type::STRING:
      return Json(std::string(element.get_string().value_unsafe()));
    case Type::BOOL:
      return Json(bool{element.get_bool().value_unsafe()});
    case Type::NULL_VALUE:
      break;
  }
  return Json();
}

bool is_wide_json_integer(std::string_view token) {
  if (token.size() < 19 || token.front() == '"') return false;
  if (token.find_first_of(".eE") != std::string_view::npos) return false;
  std::int64_t value = 0;
  const auto read = std::from_chars(token.data(), token.data() + token.size(), value);
  return read.ec == std::errc::result_out_of_range;
}

// The same JSON with a fraction of zero behind every integer that is beyond 64 bits.
std::string with_wide_integers_as_doubles(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t from = 0; from < text.size();) {
    std::size_t end = from + 1;
    if (text[from] == '"') {
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
    } else if (text[from] == '-' || (text[from] >= '0' && text[from] <= '9')) {
      end = std::min(text.find_first_not_of("0123456789+-.eE", from), text.size());
    }
    const std::string_view token = text.substr(from, end - from);
    out += token;
    if (is_wide_json_integer(token)) out += ".0";
    from = end;
  }
  return out;
}

// The element lives until the parser's next use. simdjson refuses integers beyond 64 bits; they are
// legal JSON, and come as doubles.
Result<simdjson::dom::element> parse_json_dom(simdjson::dom::parser& parser,
                                              std::string_view text) {
  if (text.empty()) return Error{Code::kBadArgument, "the JSON is empty"};
  auto parsed = parser.parse(text.data(), text.size());
  if (parsed.error() == simdjson::NUMBER_ERROR) {
    const std::string wide = with_wide_integers_as_doubles(text);
    parsed = parser.parse(wide.data(), wide.size());
  }
  if (parsed.error() == simdjson::SUCCESS) return parsed.value_unsafe();
  return Error{Code::kBadArgument,
               fmt::format("the JSON cannot be read: {}", simdjson::error_message(parsed.error()))};
}

}  // namespace

Result<Json> Json::parse(std::string_view text) {
  // Its memory is as large as the largest text, which events and rows bound.
  thread_local simdjson::dom::parser parser;
  const Result<simdjson::dom::element> root = parse_json_dom(parser, text);
  if (!root) return root.error();
  return json_from_dom(*root);
}

void Json::assign_text(std::string_view text) {
  if (auto* own = as<std::string>()) {
    own->assign(text);
  } else {
    value_.emplace<std::string>(text);
  }
}

void Json::append_to(std::string& out) const {
  if (is_null()) {
    out += "null";
  } else if (const auto* boolean = as<bool>()) {
    out += *boolean ? "true" : "false";
  } else if (const auto* integer = as<std::int64_t>()) {
    const fmt::format_int digits(*integer);
    out.append(digits.data(), digits.size());
  } else if (const auto* number = as<double>()) {
    append_json_double(out, *number);
  } else if (const auto* string = as<std::string>()) {
    append_json_string(out, *string);
  } else if (const auto* array = as<Array>()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ',';
      (*array)[i].append_to(out);
    }
    out += ']';
  } else if (const auto* object = as<Object>()) {
    char before = '{';
    for (const auto& [name, value] : *object) {
      out += before;
      append_json_string(out, name);
      out += ':';
      value.append_to(out);
      before = ',';
    }
    out += object->empty() ? "{}" : "}";
  }
}

std::string Json::text() const {
  std::string out;
  append_to(out);
  return out;
}

std::size_t Json::text_bytes() const {
  if (is_null()) return 4;
  if (const auto* boolean = as<bool>()) return *boolean ? 4 : 5;
  if (const auto* integer = as<std::int64_t>()) return fmt::format_int(*integer).size();
  if (const auto* number = as<double>()) {
    JsonDoubleText buffer;
    return json_double_text(*number, buffer).size();
  }
  if (const auto* string = as<std::string>()) return json_string_bytes(*string);
  // The two brackets, and a comma between two items.
  std::size_t bytes = 2;
  if (const auto* array = as<Array>()) {
    for (const Json& item : *array) bytes += item.text_bytes() + 1;
    return array->empty() ? bytes : bytes - 1;
  }
  const Object& object = *as<Object>();
  for (const auto& [name, value] : object) {
    bytes += json_string_bytes(name) + 1 + value.text_bytes() + 1;
  }
  return object.empty() ? bytes : bytes - 1;
}

void Json::merge(const Json& patch) {
  const Object* members = patch.as<Object>();
  if (members == nullptr) {
    *this = patch;
    return;
  }
  if (as<Object>() == nullptr) value_.emplace<Object>();
  Object& target = *as<Object>();
  for (const auto& [name, value] : *members) {
    if (!value.is_null()) {
      target[name].merge(value);
    } else if (const auto found = target.find(name); found != target.end()) {
      target.erase(found);
    }
  }
}

bool operator==(const Json& left, const Json& right) {
  return left.value_ == right.value_;
}

void append_json_double(std::string& out, double value) {
  JsonDoubleText buffer;
  out += json_double_text(value, buffer);
}

}  // namespace tidegate
