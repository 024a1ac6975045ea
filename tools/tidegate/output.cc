#include "tools/tidegate/output.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "tools/tidegate/command.h"

namespace tidegate {
namespace {

// The code point that begins at `at` and its length; length 0: not UTF-8.
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length = 0;
};

CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (at + length > text.size() || !is_valid_utf8(text.substr(at, length))) return {lead, 0};
  std::uint32_t value = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    value = (value << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
  }
  return {value, length};
}

bool acts_on_terminal(std::uint32_t value) {
  const bool control = value < 0x20 || (value >= 0x7F && value < 0xA0);
  const bool line_end = value == 0x2028 || value == 0x2029;
  const bool direction = value == 0x200E || value == 0x200F ||
                         (value >= 0x202A && value <= 0x202E) ||
                         (value >= 0x2066 && value <= 0x2069);
  return control || line_end || direction;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void append_padded(std::string& out, std::string_view text, std::size_t columns) {
  out += text;
  out.append(columns - std::min(columns, columns_of(text)), ' ');
}

void append_line(std::string& out, const std::vector<std::string>& cells,
                 const std::vector<std::size_t>& widths) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i + 1 == cells.size()) {
      out += cells[i];
    } else {
      append_padded(out, cells[i], widths[i] + 2);
    }
  }
  out += '\n';
}

void append_table(std::string& out, const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      widths[i] = std::max(widths[i], columns_of(line[i]));
    }
  }
  for (const auto& line : lines) append_line(out, line, widths);
}

std::string for_terminal(std::string_view text) {
  std::string out;
  append_for_terminal(out, text);
  return out;
}

}  // namespace

Field Field::string(std::string name, std::string_view value) {
  std::string json;
  append_json_string(json, value);
  return {std::move(name), std::string(value.empty() ? "-" : value), std::move(json)};
}

Field Field::number(std::string name, std::uint64_t value) {
  return {std::move(name), std::to_string(value), std::to_string(value)};
}

Field Field::boolean(std::string name, bool value) {
  return {std::move(name), value ? "yes" : "no", value ? "true" : "false"};
}

Field Field::time(std::string name, std::int64_t time_us, bool present) {
  if (!present) return {std::move(name), "-", "null"};
  return string(std::move(name), format_time(time_us));
}

void append_for_terminal(std::string& out, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (point.length == 0) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", point.value);
    } else if (!acts_on_terminal(point.value)) {
      out += text.substr(at, point.length);
    } else if (point.value < 0x80) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", point.value);
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{{{:04x}}}", point.value);
    }
    at += std::max<std::size_t>(point.length, 1);
  }
}

void append_json_for_terminal(std::string& out, std::string_view json) {
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto byte = static_cast<unsigned char>(json[i]);
    const auto next = static_cast<unsigned char>(i + 1 < json.size() ? json[i + 1] : 0);
    if (byte == 0x7F) {
      out += "\\u007f";
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", next);
      ++i;
    } else {
      out += json[i];
    }
  }
}

std::string cut_to_columns(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  const std::size_t kept = columns > 3 ? columns - 3 : 0;
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    if ((text[end] & 0xC0) != 0x80 && seen++ == kept) break;
  }
  return std::string(text.substr(0, end)) + "...";
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string human_duration(std::int64_t duration_us) {
  const std::int64_t seconds = duration_us / 1'000'000;
  if (seconds < 60) return fmt::format("{:.1f}s", static_cast<double>(duration_us) / 1e6);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86400, seconds / 3600 % 24);
}

std::string table_text(const std::vector<std::string>& header, const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> lines(1);
  for (const std::string& name : header) {
    std::string upper = for_terminal(name);
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    lines.front().push_back(std::move(upper));
  }
  for (const Row& row : rows) {
    std::vector<std::string>& line = lines.emplace_back();
    for (const Field& field : row) line.push_back(for_terminal(field.text));
  }
  std::string text;
  append_table(text, lines);
  return text;
}

Output::Output(int fd) : fd_(fd), is_terminal_(isatty(fd) == 1) {}

std::size_t Output::columns() const {
  winsize size{};
  if (is_terminal_ && ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return is_terminal_ ? 80 : std::numeric_limits<std::size_t>::max();
}

std::size_t Output::lines() const {
  winsize size{};
  if (is_terminal_ && ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) return size.ws_row;
  return is_terminal_ ? 24 : std::numeric_limits<std::size_t>::max();
}

bool Output::flush() {
  std::string_view rest = buffer_;
  while (errno_ == 0 && !rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      errno_ = errno;
    }
  }
  buffer_.clear();
  return errno_ == 0;
}

Result<int> Output::stopped() const {
  if (errno_ == EPIPE) return kExitOk;
  return Error{Code::kInternal,
               std::string("cannot write to standard output: ") + std::strerror(errno_)};
}

Result<int> Output::finish() {
  if (!flush()) return stopped();
  return kExitOk;
}

void Output::append_object(const Row& row) {
  char separator = '{';
  for (const Field& field : row) {
    buffer_ += separator;
    append_json_string(buffer_, field.name);
    buffer_ += ':';
    buffer_ += field.json;
    separator = ',';
  }
  buffer_ += row.empty() ? "{}" : "}";
}

Result<int> Output::print(const Row& row) {
  if (format_ == Format::kJson || format_ == Format::kJsonl) {
    append_object(row);
    buffer_ += '\n';
    return finish();
  }
  std::vector<std::vector<std::string>> lines;
  for (const Field& field : row) lines.push_back({field.name, for_terminal(field.text)});
  if (!lines.empty()) append_table(buffer_, lines);
  return finish();
}

Result<int> Output::print(const std::vector<std::string>& header, const std::vector<Row>& rows) {
  if (format_ == Format::kJson || format_ == Format::kJsonl) {
    const bool array = format_ == Format::kJson;
    if (array) buffer_ += '[';
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (array && i > 0) buffer_ += ',';
      append_object(rows[i]);
      if (!array) buffer_ += '\n';
    }
    if (array) buffer_ += "]\n";
    return finish();
  }
  buffer_ += table_text(header, rows);
  return finish();
}

}  // namespace tidegate
