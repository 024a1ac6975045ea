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

// The URL-safe form of RFC 4648 section 5 without padding, as tokens and keys have it (RFC 7515).

void append_base64url(std::string& out, std::string_view bytes);

// Strict: only the URL-safe alphabet, no padding, no white space, unused bits zero.
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace tidegate
