#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tidegate/v1/projection_service.pb.h"
#include "tools/tidegate/output.h"

namespace CLI {
class App;
}

namespace tidegate {

// How a table shows the rows of a projection. Thread: immutable.
struct RowView {
  // The field whose largest value comes first; empty: by key.
  std::string sort;
  // A field with an array, each element of which is a line of its own, the last one first; empty:
  // a line per row.
  std::string unfold;
  // Of a table, after sorting.
  std::size_t lines_max = std::numeric_limits<std::size_t>::max();

  void add_options(CLI::App& command);
};

// The rows that a watch has told, by key.
using RowMap = std::map<std::string, v1::ProjectionRow>;

void apply_changes(RowMap& rows, const v1::WatchProjectionResponse& told);
std::vector<v1::ProjectionRow> values_of(const RowMap& rows);

// Adds what a watch or a query is about to a command: KEY.. or --prefix.
struct RowChoice {
  std::vector<std::string> keys;
  std::string prefix;

  void add_options(CLI::App& command);
  v1::RowSelection selection() const;
};

// {"key":..,"value":..,"sequence":..}, or "removed":true in place of the value, without a line's
// end.
std::string row_json(const v1::ProjectionRow& row);

// A table: a column per field of the documents when all of them are objects of few fields, else the
// documents as they are, cut to what the terminal has room for.
struct RowTable {
  std::vector<std::string> header;
  std::vector<Row> rows;
};
RowTable row_table(const std::vector<v1::ProjectionRow>& rows, const RowView& view,
                   std::size_t columns = std::numeric_limits<std::size_t>::max());

// The rows with the largest numbers in the field `sort` first. With `unfold` its lines are sorted
// instead, by row_table.
void sort_rows(std::vector<v1::ProjectionRow>& rows, const RowView& view);

// kBadArgument when no row has the fields of the view; of no rows nothing is known.
Status check_fields(const std::vector<v1::ProjectionRow>& rows, const RowView& view);

// In the format that was asked for. kBadArgument as check_fields.
Result<int> print_rows(Output& output, const std::vector<v1::ProjectionRow>& rows,
                       const RowView& view);

}  // namespace tidegate
