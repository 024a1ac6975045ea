#include "gateway/auth/signature.h"

#include <memory>
#include <optional>
#include <utility>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "eventstore/base/check.h"
#include "gateway/auth/openssl_handles.h"

namespace tidegate {
namespace {

using openssl::bytes_of;
using openssl::Number;
using openssl::number_of;
using openssl::writable_bytes_of;

using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using EcdsaPair = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

Number order_of(const EvpKey& key) {
  BIGNUM* order = nullptr;
  if (EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_EC_ORDER, &order) != 1) return nullptr;
  return Number(order);
}

// r = 0 or s = 0 once verified against every key in some libraries (CVE-2022-21449), so the range
// is checked here, whatever OpenSSL does.
bool is_in_range(const Number& number, const Number& order) {
  return number && BN_is_zero(number.get()) == 0 && BN_cmp(number.get(), order.get()) < 0;
}

// From r and s side by side to the DER that OpenSSL reads.
std::optional<std::string> der_of_raw(std::string_view raw, const EvpKey& key, std::size_t half) {
  if (raw.size() != 2 * half) return std::nullopt;
  Number r = number_of(raw.substr(0, half));
  Number s = number_of(raw.substr(half));
  const Number order = order_of(key);
  if (!order || !is_in_range(r, order) || !is_in_range(s, order)) return std::nullopt;
  const EcdsaPair pair(ECDSA_SIG_new());
  if (!pair || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return std::nullopt;
  static_cast<void>(r.release());  // the pair owns them now
  static_cast<void>(s.release());
  const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (size <= 0) return std::nullopt;
  std::string der(static_cast<std::size_t>(size), '\0');
  unsigned char* to = writable_bytes_of(der);
  i2d_ECDSA_SIG(pair.get(), &to);
  return der;
}

std::optional<std::string> raw_of_der(const std::string& der, std::size_t half) {
  const unsigned char* from = bytes_of(der);
  const EcdsaPair pair(d2i_ECDSA_SIG(nullptr, &from, static_cast<long>(der.size())));
  if (!pair) return std::nullopt;
  std::string raw(2 * half, '\0');
  const int width = static_cast<int>(half);
  const bool fits =
      BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), writable_bytes_of(raw), width) == width &&
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), writable_bytes_of(raw) + half, width) == width;
  if (!fits) return std::nullopt;
  return raw;
}

// RFC 7518 section 3.5: MGF1 and salt go with the digest.
bool choose_padding(EVP_PKEY_CTX* context, const AlgorithmInfo& algorithm) {
  if (algorithm.key_type != KeyType::kRsa) return true;
  if (!algorithm.is_pss) return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

bool verify_signature(const EvpKey& key, Algorithm algorithm, std::string_view signed_bytes,
                      std::string_view signature) {
  const OpensslErrors errors;
  const AlgorithmInfo& info = algorithm_info(algorithm);
  std::optional<std::string> der;
  if (info.key_type == KeyType::kEc) {
    der = der_of_raw(signature, key, info.coordinate_bytes);
    if (!der) return false;
    signature = *der;
  } else if (signature.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key.get()))) {
    return false;
  }
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  return context &&
         EVP_DigestVerifyInit_ex(context.get(), &options, info.digest, nullptr, nullptr, key.get(),
                                 nullptr) == 1 &&
         choose_padding(options, info) &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(),
                          bytes_of(signed_bytes), signed_bytes.size()) == 1;
}

Result<std::string> make_signature(const EvpKey& private_key, Algorithm algorithm,
                                   std::string_view bytes) {
  const OpensslErrors errors;
  const Error failed{Code::kInternal, "OpenSSL cannot sign with this key"};
  const AlgorithmInfo& info = algorithm_info(algorithm);
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  if (!context ||
      EVP_DigestSignInit_ex(context.get(), &options, info.digest, nullptr, nullptr,
                            private_key.get(), nullptr) != 1 ||
      !choose_padding(options, info)) {
    return failed;
  }
  std::string signature(static_cast<std::size_t>(EVP_PKEY_get_size(private_key.get())), '\0');
  std::size_t size = signature.size();
  if (EVP_DigestSign(context.get(), writable_bytes_of(signature), &size, bytes_of(bytes),
                     bytes.size()) != 1) {
    return failed;
  }
  signature.resize(size);
  if (info.key_type != KeyType::kEc) return signature;
  std::optional<std::string> raw = raw_of_der(signature, info.coordinate_bytes);
  if (!raw) return failed;
  return *std::move(raw);
}

std::string hmac_sha256(std::string_view secret, std::string_view bytes) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  const unsigned char* const made =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes_of(bytes),
           bytes.size(), writable_bytes_of(mac), &size);
  TG_CHECK(made != nullptr);
  mac.resize(size);
  return mac;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace tidegate
