#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/bn.h>

#include "gateway/auth/freed.h"

// What the .cc files that call OpenSSL share. No other header may include it, so that OpenSSL's
// names stay inside of them.

namespace tidegate::openssl {

using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;

inline const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
inline unsigned char* writable_bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

inline Number number_of(std::string_view big_endian) {
  return Number(BN_bin2bn(bytes_of(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

}  // namespace tidegate::openssl
