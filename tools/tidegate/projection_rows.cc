#include "tools/tidegate/projection_rows.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <simdjson.h>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// More fields than these are read more easily as one JSON text.
constexpr std::size_t kFieldColumnsMax = 12;
constexpr std::size_t kValueColumnsLeast = 20;

// A document, or an element of one, taken apart for a line of a table.
struct RowLine {
  std::string key;
  std::uint64_t sequence = 0;
  bool is_object = false;
  std::vector<std::pair<std::string, std::string>> fields;  // of an object
  std::string text;                                         // all of it
  std::optional<double> sorted_by;
};

std::string cell_of(simdjson::dom::element value) {
  std::string_view text;
  double number = 0;
  switch (value.type()) {
    case simdjson::dom::element_type::NULL_VALUE:
      return "-";
    case simdjson::dom::element_type::STRING:
      return value.get_string().get(text) ? std::string() : std::string(text);
    case simdjson::dom::element_type::DOUBLE:
      // Averages have more digits than anybody reads; -o json has them all.
      return value.get_double().get(number) ? std::string() : fmt::format("{:.6g}", number);
    default:
      return simdjson::minify(value);
  }
}

RowLine line_of(const v1::ProjectionRow& row, simdjson::dom::element value, const RowView& view) {
  RowLine line;
  line.key = row.key();
  line.sequence = row.sequence();
  line.text = cell_of(value);
  simdjson::dom::object object;
  if (value.get_object().get(object)) return line;
  line.is_object = true;
  for (const auto field : object) {
    line.fields.emplace_back(std::string(field.key), cell_of(field.value));
    double number = 0;
    if (field.key == view.sort && !field.value.get_double().get(number)) line.sorted_by = number;
  }
  return line;
}

void append_lines(std::vector<RowLine>& lines, simdjson::dom::parser& parser,
                  const v1::ProjectionRow& row, const RowView& view) {
  simdjson::dom::element document;
  if (parser.parse(row.document()).get(document)) {
    // Not the gateway's doing; shown as it came.
    RowLine& line = lines.emplace_back();
    line.key = row.key();
    line.sequence = row.sequence();
    line.text = row.document();
    return;
  }
  if (view.unfold.empty()) {
    lines.push_back(line_of(row, document, view));
    return;
  }
  simdjson::dom::object object;
  simdjson::dom::element field;
  simdjson::dom::array elements;
  if (document.get_object().get(object) || object.at_key(view.unfold).get(field) ||
      field.get_array().get(elements)) {
    return;
  }
  const std::size_t begin = lines.size();
  for (const simdjson::dom::element element : elements)
    lines.push_back(line_of(row, element, view));
  std::reverse(lines.begin() + static_cast<std::ptrdiff_t>(begin), lines.end());
}

// The names of all fields in the order in which they come up; nothing when the lines are not
// objects, or have too many.
std::vector<std::string> field_columns(const std::vector<RowLine>& lines) {
  std::vector<std::string> names;
  for (const RowLine& line : lines) {
    if (!line.is_object) return {};
    for (const auto& [name, text] : line.fields) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    if (names.size() > kFieldColumnsMax) return {};
  }
  return names;
}

Row fields_row(const RowLine& line, const std::vector<std::string>& names) {
  Row row = {Field::string("key", line.key)};
  for (const std::string& name : names) {
    const auto found = std::find_if(line.fields.begin(), line.fields.end(),
                                    [&name](const auto& field) { return field.first == name; });
    row.push_back(Field::string(name, found == line.fields.end() ? "" : found->second));
  }
  row.push_back(Field::number("sequence", line.sequence));
  return row;
}

// What the documents of rows have, as far as a view asks for it.
struct KnownFields {
  std::set<std::string> names;
  bool has_unfolded = false;  // an array in that field
  bool has_elements = false;  // in such an array
  bool has_sorted = false;
};

void note_fields(KnownFields& known, simdjson::dom::element document, const RowView& view) {
  simdjson::dom::object object;
  if (document.get_object().get(object)) return;
  for (const auto field : object) known.names.emplace(field.key);
  if (view.unfold.empty()) {
    known.has_sorted = known.has_sorted || known.names.contains(view.sort);
    return;
  }
  simdjson::dom::array elements;
  if (object.at_key(view.unfold).get_array().get(elements)) return;
  known.has_unfolded = true;
  for (const simdjson::dom::element element : elements) {
    known.has_elements = true;
    simdjson::dom::element sorted;
    known.has_sorted = known.has_sorted || !element.at_key(view.sort).get(sorted);
  }
}

Error unknown_field(std::string_view option, const std::string& field, std::string_view lack,
                    const std::set<std::string>& names) {
  std::string message = fmt::format("{} {}: no {} of that name", option, field, lack);
  if (!names.empty()) message += fmt::format("; there are {}", fmt::join(names, ", "));
  return Error{Code::kBadArgument, std::move(message)};
}

}  // namespace

void RowView::add_options(CLI::App& command) {
  command.add_option("--sort", sort, "The rows with the largest numbers in this field first")
      ->type_name("FIELD");
  command
      .add_option(
          "--unfold", unfold,
          "In a table, a line for each element of the array in this field, the newest first")
      ->type_name("FIELD");
}

void RowChoice::add_options(CLI::App& command) {
  CLI::Option* named = command.add_option("KEY", keys, "Only these rows");
  command.add_option("--prefix", prefix, "Only rows whose key begins with this")->excludes(named);
}

v1::RowSelection RowChoice::selection() const {
  v1::RowSelection selection;
  for (const std::string& key : keys) selection.add_keys(key);
  selection.set_prefix(prefix);
  return selection;
}

void apply_changes(RowMap& rows, const v1::WatchProjectionResponse& told) {
  if (told.reset()) rows.clear();
  for (const v1::ProjectionRow& row : told.rows()) {
    if (row.document().empty()) {
      rows.erase(row.key());
    } else {
      rows[row.key()] = row;
    }
  }
}

std::vector<v1::ProjectionRow> values_of(const RowMap& rows) {
  std::vector<v1::ProjectionRow> values;
  values.reserve(rows.size());
  for (const auto& [key, row] : rows) values.push_back(row);
  return values;
}

std::string row_json(const v1::ProjectionRow& row) {
  std::string json = "{\"key\":";
  append_json_string(json, row.key());
  json += row.document().empty() ? ",\"removed\":true" : ",\"value\":" + row.document();
  fmt::format_to(std::back_inserter(json), ",\"sequence\":{}}}", row.sequence());
  return json;
}

RowTable row_table(const std::vector<v1::ProjectionRow>& rows, const RowView& view,
                   std::size_t columns) {
  std::vector<RowLine> lines;
  simdjson::dom::parser parser;
  for (const v1::ProjectionRow& row : rows) append_lines(lines, parser, row, view);
  if (!view.sort.empty()) {
    std::stable_sort(lines.begin(), lines.end(), [](const RowLine& a, const RowLine& b) {
      if (!a.sorted_by || !b.sorted_by) return a.sorted_by.has_value() && !b.sorted_by.has_value();
      return *a.sorted_by > *b.sorted_by;
    });
  }
  lines.resize(std::min(lines.size(), view.lines_max));
  RowTable table;
  const std::vector<std::string> names = field_columns(lines);
  if (!names.empty()) {
    table.header = names;
    table.header.insert(table.header.begin(), "key");
    table.header.emplace_back("sequence");
    for (const RowLine& line : lines) table.rows.push_back(fields_row(line, names));
    return table;
  }
  table.header = {"key", "sequence", "value"};
  std::size_t used = 0;
  for (const RowLine& line : lines)
    used = std::max(used, line.key.size() + std::to_string(line.sequence).size());
  // Two columns with a space of two behind them.
  used += 4;
  const std::size_t room = std::max(kValueColumnsLeast, columns > used ? columns - used : 0);
  for (const RowLine& line : lines) {
    table.rows.push_back({Field::string("key", line.key), Field::number("sequence", line.sequence),
                          Field::string("value", cut_to_columns(line.text, room))});
  }
  return table;
}

void sort_rows(std::vector<v1::ProjectionRow>& rows, const RowView& view) {
  if (view.sort.empty() || !view.unfold.empty()) return;
  simdjson::dom::parser parser;
  std::vector<std::pair<std::optional<double>, std::size_t>> order;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double number = 0;
    simdjson::dom::element document;
    const bool is_number = !parser.parse(rows[i].document()).get(document) &&
                           !document.at_key(view.sort).get_double().get(number);
    order.emplace_back(is_number ? std::optional(number) : std::nullopt, i);
  }
  // No number is less than any.
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<v1::ProjectionRow> sorted;
  sorted.reserve(rows.size());
  for (const auto& [number, i] : order) sorted.push_back(std::move(rows[i]));
  rows = std::move(sorted);
}

Status check_fields(const std::vector<v1::ProjectionRow>& rows, const RowView& view) {
  if (rows.empty() || (view.sort.empty() && view.unfold.empty())) return {};
  KnownFields known;
  simdjson::dom::parser parser;
  for (const v1::ProjectionRow& row : rows) {
    simdjson::dom::element document;
    if (!parser.parse(row.document()).get(document)) note_fields(known, document, view);
  }
  if (!view.unfold.empty() && !known.has_unfolded)
    return unknown_field("--unfold", view.unfold, "row has an array", known.names);
  const bool has_lines = view.unfold.empty() || known.has_elements;
  if (view.sort.empty() || known.has_sorted || !has_lines) return {};
  return view.unfold.empty() ? unknown_field("--sort", view.sort, "row has a field", known.names)
                             : unknown_field("--sort", view.sort, "line has a field", {});
}

Result<int> print_rows(Output& output, const std::vector<v1::ProjectionRow>& rows,
                       const RowView& view) {
  if (Status known = check_fields(rows, view); !known) return known.error();
  if (output.chosen() != Format::kJson && output.chosen() != Format::kJsonl) {
    const RowTable table = row_table(rows, view, output.columns());
    return output.print(table.header, table.rows);
  }
  std::vector<Row> printed;
  for (const v1::ProjectionRow& row : rows) {
    std::string json;
    if (output.is_terminal()) {
      append_json_for_terminal(json, row.document());
    } else {
      json = row.document();
    }
    printed.push_back({Field::string("key", row.key()), Field{"value", "", std::move(json)},
                       Field::number("sequence", row.sequence())});
  }
  return output.print({}, printed);
}

}  // namespace tidegate
