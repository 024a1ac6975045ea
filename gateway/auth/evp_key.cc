#include "gateway/auth/evp_key.h"

#include <string>
#include <utility>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "gateway/auth/openssl_handles.h"

namespace tidegate {
namespace {

using openssl::bytes_of;
using openssl::Number;
using openssl::number_of;

constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 8192;     // verifying takes a time that grows with the square
constexpr int kExponentBitsMax = 64;  // OpenSSL refuses more with long moduli anyway
constexpr std::size_t kEd25519Bytes = 32;

using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Context = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;

Error bad_key(std::string message) {
  return {Code::kBadArgument, std::move(message)};
}

// Also checks what OpenSSL knows to check: the point of an EC key, the modulus of an RSA key.
Result<EvpKey> key_from_params(const char* type, OSSL_PARAM_BLD& builder) {
  const Params params(OSSL_PARAM_BLD_to_param(&builder));
  const Context making(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  const bool good = params && making && EVP_PKEY_fromdata_init(making.get()) == 1 &&
                    EVP_PKEY_fromdata(making.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) == 1;
  EvpKey key(made);
  if (!good) return bad_key("it is not a valid public key");
  const Context checking(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!checking || EVP_PKEY_public_check(checking.get()) != 1) {
    return bad_key("it is not a valid public key");
  }
  return key;
}

// What stands in the first line of a PEM block, such as "PUBLIC KEY".
std::string_view pem_label(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  const std::size_t from = pem.find(kBegin);
  if (from == std::string_view::npos) return {};
  pem.remove_prefix(from + kBegin.size());
  return pem.substr(0, pem.find("-----"));
}

Status check_one_block(std::string_view pem) {
  const std::size_t first = pem.find("-----BEGIN ");
  if (pem.find("-----BEGIN ", first + 1) != std::string_view::npos) {
    return bad_key("it has more than one PEM block: keep only the one that holds the key");
  }
  return {};
}

// Answers OpenSSL's question for a passphrase, which would otherwise be asked on the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

bool is_of_type(const EvpKey& key, const AlgorithmInfo& algorithm) {
  switch (algorithm.key_type) {
    case KeyType::kRsa:
      return EVP_PKEY_is_a(key.get(), "RSA") == 1;
    case KeyType::kEd25519:
      return EVP_PKEY_is_a(key.get(), "ED25519") == 1;
    case KeyType::kEc:
      break;
    case KeyType::kSecret:
      return false;
  }
  if (EVP_PKEY_is_a(key.get(), "EC") != 1) return false;
  std::string name(64, '\0');
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key.get(), name.data(), name.size(), &size) != 1) return false;
  name.resize(size);
  return name == algorithm.curve;
}

Status check_rsa_strength(const EvpKey& key) {
  const int bits = EVP_PKEY_get_bits(key.get());
  if (bits < kRsaBitsMin || bits > kRsaBitsMax) {
    return bad_key(fmt::format("its RSA modulus has {} bits: {} to {} are allowed", bits,
                               kRsaBitsMin, kRsaBitsMax));
  }
  BIGNUM* read = nullptr;
  if (EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_RSA_E, &read) != 1) {
    return bad_key("its RSA exponent cannot be read");
  }
  const Number exponent(read);
  if (BN_is_odd(exponent.get()) == 0 || BN_is_one(exponent.get()) == 1 ||
      BN_num_bits(exponent.get()) > kExponentBitsMax) {
    return bad_key(fmt::format("its RSA exponent must be odd, above 1 and of at most {} bits",
                               kExponentBitsMax));
  }
  return {};
}

}  // namespace

void EvpKeyDeleter::operator()(evp_pkey_st* key) const {
  EVP_PKEY_free(key);
}

OpensslErrors::OpensslErrors() {
  ERR_clear_error();
}
OpensslErrors::~OpensslErrors() {
  ERR_clear_error();
}

Result<EvpKey> rsa_public_key(std::string_view modulus, std::string_view exponent) {
  const OpensslErrors errors;
  // Before OpenSSL computes with it.
  constexpr std::size_t kModulusBytesMax = kRsaBitsMax / 8 + 1;
  if (modulus.size() > kModulusBytesMax || exponent.size() > kModulusBytesMax) {
    return bad_key(fmt::format("its RSA modulus or exponent has more than {} bits", kRsaBitsMax));
  }
  const Number n = number_of(modulus);
  const Number e = number_of(exponent);
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return bad_key("it is not a valid RSA key");
  }
  Result<EvpKey> key = key_from_params("RSA", *builder);
  if (!key) return key;
  if (Status fits = check_key_fits(*key, Algorithm::kRs256); !fits) return fits.error();
  return key;
}

Result<EvpKey> ec_public_key(Algorithm curve, std::string_view x, std::string_view y) {
  const OpensslErrors errors;
  const AlgorithmInfo& info = algorithm_info(curve);
  if (x.size() != info.coordinate_bytes || y.size() != info.coordinate_bytes) {
    return bad_key(fmt::format("each coordinate of a point on {} must have {} bytes",
                               info.jwk_curve, info.coordinate_bytes));
  }
  std::string point = "\x04";  // uncompressed
  point.append(x).append(y);
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, info.curve, 0) !=
          1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return bad_key("it is not a valid EC key");
  }
  Result<EvpKey> key = key_from_params("EC", *builder);
  if (!key) return bad_key(fmt::format("its point is not on the curve {}", info.jwk_curve));
  return key;
}

Result<EvpKey> ed25519_public_key(std::string_view x) {
  const OpensslErrors errors;
  if (x.size() != kEd25519Bytes) {
    return bad_key(fmt::format("an Ed25519 key has {} bytes, not {}", kEd25519Bytes, x.size()));
  }
  EvpKey key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(x), x.size()));
  if (!key) return bad_key("it is not a valid Ed25519 key");
  return key;
}

bool is_pem(std::string_view text) {
  return text.starts_with("-----BEGIN ");
}

Result<EvpKey> public_key_from_pem(std::string_view pem) {
  const OpensslErrors errors;
  if (Status one = check_one_block(pem); !one) return one.error();
  const std::string_view label = pem_label(pem);
  if (label.find("PRIVATE KEY") != std::string_view::npos) {
    return bad_key("it is a private key: to verify tokens, give only its public key");
  }
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EvpKey key;
  if (label == "CERTIFICATE") {
    const Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (certificate) key.reset(X509_get_pubkey(certificate.get()));
  } else if (label == "PUBLIC KEY") {
    key.reset(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr));
  } else {
    return bad_key("its PEM block is neither PUBLIC KEY nor CERTIFICATE");
  }
  if (!key) return bad_key("its PEM block is damaged, or of a kind that OpenSSL does not know");
  return key;
}

Result<EvpKey> private_key_from_pem(std::string_view pem) {
  const OpensslErrors errors;
  if (Status one = check_one_block(pem); !one) return one.error();
  if (pem_label(pem).find("PRIVATE KEY") == std::string_view::npos) {
    return bad_key("its PEM block is not a private key");
  }
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EvpKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return bad_key("its PEM block is damaged, or protected with a passphrase");
  return key;
}

Status check_key_fits(const EvpKey& key, Algorithm algorithm) {
  const OpensslErrors errors;
  const AlgorithmInfo& info = algorithm_info(algorithm);
  if (!is_of_type(key, info)) {
    return bad_key(fmt::format("it is not a key for the algorithm {}", info.name));
  }
  if (info.key_type == KeyType::kRsa) return check_rsa_strength(key);
  return {};
}

}  // namespace tidegate
