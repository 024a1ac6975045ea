#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tidegate {

// Base64 of RFC 4648 section 4, as `data_base64` and binary attributes have it in JSON.
// Thread: any (pure functions).

void append_base64(std::string& out, std::string_view bytes);

// Strict: whole groups of four, padded, no white space, unused bits zero, so that equal bytes have
// one text.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace tidegate
