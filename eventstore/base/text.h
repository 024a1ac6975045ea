#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate {

// Thread: any (pure functions).

// Appends `text` as a quoted JSON string. `text` must be UTF-8; control characters are escaped.
void append_json_string(std::string& out, std::string_view text);
// How many bytes at the beginning of `text` a JSON string can hold as they are: up to the first
// control character (U+007F among them), quote or backslash.
std::size_t plain_json_run(std::string_view text);

// Letters, digits and -_.:/+@ only, not empty: needs no quotes in a log line.
bool is_plain_word(std::string_view text);

bool is_valid_utf8(std::string_view text);
// How many bytes at the end of `text` begin a character whose other bytes are missing (0 to 3);
// nothing when `text` is not UTF-8 whatever follows.
std::optional<std::size_t> unfinished_utf8_bytes(std::string_view text);

// A peer's text for an error message: its first 64 bytes, with '?' for all but printable ASCII. Cut
// anywhere else, a character of several bytes would make the whole answer invalid.
std::string printable(std::string_view text);

// RFC 3339 in UTC with microseconds, "2026-01-02T03:04:05.678901Z"; trailing zeros of the fraction
// in groups of three are left out ("...05Z", "...05.678Z"). Years 1970-9999; a time beyond is shown
// as the nearest of these.
std::string format_time(std::int64_t time_us);
void append_time(std::string& out, std::int64_t time_us);

// Strict RFC 3339 with any offset and up to nine digits of fraction (cut to microseconds); years
// 1970-9999.
std::optional<std::int64_t> parse_time(std::string_view text);

// Digits only, no sign, no leading zero but "0", at most 2^64-1.
std::optional<std::uint64_t> parse_u64(std::string_view text);

}  // namespace tidegate
