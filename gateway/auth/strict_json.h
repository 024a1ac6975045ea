#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "gateway/cloudevents/json_text.h"

namespace tidegate {

// What tokens, key documents and the list of revocations have in common: JSON objects in which a
// repeated name, or text that does not show what it is, is refused. Inside of gateway/auth only.
// Thread: any (pure functions).

// How deep arrays and objects may be nested.
inline constexpr int kStrictJsonDepthMax = 8;

// The text as one object without repeated names, or an error with `code` that begins with `what`.
// The value lives as long as the text.
Result<JsonValue> parse_strict_object(std::string_view text, std::string_view what, Code code);

// Not empty, at most `bytes_max`, and without control characters: neither those of ASCII and
// Latin-1 nor the ones that turn or break lines, which would falsify what an operator reads.
// `text` must be UTF-8.
bool is_printable(std::string_view text, std::size_t bytes_max);

// The text of a string that is printable; nothing for another value.
std::optional<std::string> printable_string(const JsonValue& value, std::size_t bytes_max);

}  // namespace tidegate
