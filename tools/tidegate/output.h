#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"

namespace tidegate {

enum class Format : std::uint8_t { kAuto, kTable, kJson, kJsonl };

// One value of a row: its text for a table and its JSON.
struct Field {
  std::string name;
  std::string text;
  std::string json;

  static Field string(std::string name, std::string_view value);
  static Field number(std::string name, std::uint64_t value);
  static Field boolean(std::string name, bool value);
  // An RFC 3339 time; absent: "-" and null.
  static Field time(std::string name, std::int64_t time_us, bool present = true);
};
using Row = std::vector<Field>;

// Appends `text` with everything that a terminal would act on (control characters of C0 and C1,
// bidirectional overrides, bytes that are not UTF-8) written as \xNN or \u{NNNN}.
void append_for_terminal(std::string& out, std::string_view text);

// Appends JSON text with what it may hold unescaped and a terminal would act on (DEL, C1) escaped.
void append_json_for_terminal(std::string& out, std::string_view json);

// The first `columns` characters of UTF-8 text; "..." in place of the rest.
std::string cut_to_columns(std::string_view text, std::size_t columns);

// "1.5 GiB".
std::string human_bytes(std::uint64_t bytes);
// "1h02m", "3m05s", "4.2s".
std::string human_duration(std::int64_t duration_us);

// A table: the names in capitals, then a line per row, which has as many fields.
std::string table_text(const std::vector<std::string>& header, const std::vector<Row>& rows);

// Standard output: buffered, in the format that was asked for.
// Thread: caller serialises.
class Output {
 public:
  explicit Output(int fd);

  // `-o`; kAuto leaves the choice to the command.
  void choose(Format format) { format_ = format; }
  Format chosen() const { return format_; }
  bool is_terminal() const { return is_terminal_; }
  // Of the terminal; without one nothing needs to be cut.
  std::size_t columns() const;
  // Likewise, how many lines it shows.
  std::size_t lines() const;

  void write(std::string_view text) { buffer_ += text; }
  std::string& buffer() { return buffer_; }

  // Writes what is buffered. False when nothing more can be written: return `stopped()` then.
  bool flush();
  // 0 when the reader closed the pipe (`| head`), else the error.
  Result<int> stopped() const;

  // One thing: "name  value" lines, or a JSON object.
  Result<int> print(const Row& row);
  // Several, all of the same fields; the first row of `header` gives the names of an empty table.
  Result<int> print(const std::vector<std::string>& header, const std::vector<Row>& rows);

 private:
  void append_object(const Row& row);
  Result<int> finish();

  int fd_;
  bool is_terminal_;
  Format format_ = Format::kAuto;
  std::string buffer_;
  int errno_ = 0;
};

}  // namespace tidegate
