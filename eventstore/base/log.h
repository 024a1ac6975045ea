#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace tidegate {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// One field of a log line. Values are escaped by the writer; never pass a token, a key or a
// payload.
struct LogField {
  template <typename T>
  LogField(std::string_view field_name, const T& field_value)
      : name(field_name), value(fmt::format("{}", field_value)) {}
  std::string_view name;
  std::string value;
};

// Writes one line to stderr: a fixed sentence and its fields, as JSON or text (log_setup decides).
// Thread: any (internally synchronised).
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// Whether lines of this level are written; to spare the cost of building fields.
bool log_enabled(LogLevel level);

// Called once by main before the first line. Without it: text, level info.
void log_setup(LogLevel level, bool json);

}  // namespace tidegate
