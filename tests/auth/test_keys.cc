#include "tests/auth/test_keys.h"

#include <map>
#include <memory>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "gateway/auth/openssl_handles.h"
#include "gateway/cloudevents/base64.h"

namespace tidegate::test {
namespace {

using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Pkey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

std::string text_of(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Bio memory() {
  return Bio(BIO_new(BIO_s_mem()));
}

std::string private_pem_of(const Pkey& key) {
  const Bio bio = memory();
  require(
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "private PEM");
  return text_of(bio);
}

std::string public_pem_of(const Pkey& key) {
  const Bio bio = memory();
  require(PEM_write_bio_PUBKEY(bio.get(), key.get()) == 1, "public PEM");
  return text_of(bio);
}

std::string number_of_key(const Pkey& key, const char* name, int width) {
  BIGNUM* read = nullptr;
  require(EVP_PKEY_get_bn_param(key.get(), name, &read) == 1, name);
  const openssl::Number number(read);
  if (width == 0) width = BN_num_bytes(number.get());
  std::string bytes(static_cast<std::size_t>(width), '\0');
  BN_bn2binpad(number.get(), openssl::writable_bytes_of(bytes), width);
  return base64url(bytes);
}

Pkey generate(const AlgorithmInfo& info) {
  switch (info.key_type) {
    case KeyType::kRsa:
      return Pkey(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
    case KeyType::kEc:
      return Pkey(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", info.curve));
    default:
      return Pkey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  }
}

std::string jwk_members_of(const Pkey& key, const AlgorithmInfo& info) {
  if (info.key_type == KeyType::kRsa) {
    return fmt::format(R"("kty":"RSA","n":"{}","e":"{}")",
                       number_of_key(key, OSSL_PKEY_PARAM_RSA_N, 0),
                       number_of_key(key, OSSL_PKEY_PARAM_RSA_E, 0));
  }
  if (info.key_type == KeyType::kEc) {
    const int width = static_cast<int>(info.coordinate_bytes);
    return fmt::format(R"("kty":"EC","crv":"{}","x":"{}","y":"{}")", info.jwk_curve,
                       number_of_key(key, OSSL_PKEY_PARAM_EC_PUB_X, width),
                       number_of_key(key, OSSL_PKEY_PARAM_EC_PUB_Y, width));
  }
  std::string x(32, '\0');
  std::size_t size = x.size();
  require(EVP_PKEY_get_raw_public_key(key.get(), openssl::writable_bytes_of(x), &size) == 1,
          "Ed25519");
  return fmt::format(R"("kty":"OKP","crv":"Ed25519","x":"{}")", base64url(x));
}

Pkey private_key_of(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Pkey(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

TestKey make_key(Algorithm algorithm, int number) {
  const AlgorithmInfo& info = algorithm_info(algorithm);
  TestKey made{algorithm, "", "", "", ""};
  if (info.key_type == KeyType::kSecret) {
    const std::string secret(40, static_cast<char>('A' + number));
    made.jwk_members = fmt::format(R"("kty":"oct","k":"{}")", base64url(secret));
    return made;
  }
  const Pkey key = generate(info);
  require(key != nullptr, "key generation");
  made.private_pem = private_pem_of(key);
  made.public_pem = public_pem_of(key);
  made.jwk_members = jwk_members_of(key, info);
  made.certificate_pem = loopback_certificate(made);
  return made;
}

}  // namespace

SigningKey TestKey::signing() const {
  if (is_symmetric(algorithm)) {
    return *SigningKey::from_secret(std::string(verification().secret()));
  }
  return *SigningKey::from_pem(private_pem, algorithm);
}

VerificationKey TestKey::verification() const {
  if (!is_symmetric(algorithm)) return *VerificationKey::from_pem(public_pem, {algorithm});
  const std::size_t begin = jwk_members.find("\"k\":\"") + 5;
  const std::string k = jwk_members.substr(begin, jwk_members.size() - 1 - begin);
  return *VerificationKey::from_secret(*decode_base64url(k));
}

std::string TestKey::jwk(std::string_view kid) const {
  return fmt::format(R"({{{},"alg":"{}","kid":"{}","use":"sig"}})", jwk_members,
                     algorithm_info(algorithm).name, kid);
}

const TestKey& test_key(Algorithm algorithm, int number) {
  static std::map<std::pair<Algorithm, int>, TestKey> keys;
  const auto found = keys.find({algorithm, number});
  if (found != keys.end()) return found->second;
  const bool shares =
      algorithm_info(algorithm).key_type == KeyType::kRsa && algorithm != Algorithm::kRs256;
  TestKey made = shares ? test_key(Algorithm::kRs256, number) : make_key(algorithm, number);
  made.algorithm = algorithm;
  return keys.emplace(std::pair(algorithm, number), std::move(made)).first->second;
}

std::string jwks(const std::vector<std::string>& keys) {
  return fmt::format(R"({{"keys":[{}]}})", fmt::join(keys, ","));
}

std::string base64url(std::string_view bytes) {
  std::string out;
  append_base64url(out, bytes);
  return out;
}

std::string loopback_certificate(const TestKey& key) {
  const Pkey pkey = private_key_of(key.private_pem);
  const Certificate certificate(X509_new());
  X509* const c = certificate.get();
  X509_set_version(c, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
  X509_gmtime_adj(X509_getm_notBefore(c), -3600);
  X509_gmtime_adj(X509_getm_notAfter(c), 3600);
  X509_set_pubkey(c, pkey.get());
  X509_NAME* const name = X509_get_subject_name(c);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, openssl::bytes_of("tidegate test"), -1, -1,
                             0);
  X509_set_issuer_name(c, name);
  X509V3_CTX context;
  X509V3_set_ctx(&context, c, c, nullptr, nullptr, 0);
  for (const auto& [id, value] : {std::pair{NID_subject_alt_name, "IP:127.0.0.1"},
                                  std::pair{NID_basic_constraints, "critical,CA:TRUE"}}) {
    const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
        X509V3_EXT_conf_nid(nullptr, &context, id, value));
    require(extension != nullptr && X509_add_ext(c, extension.get(), -1) == 1, "extension");
  }
  const bool has_digest = algorithm_info(key.algorithm).digest != nullptr;
  require(X509_sign(c, pkey.get(), has_digest ? EVP_sha256() : nullptr) > 0, "X509_sign");
  const Bio bio = memory();
  require(PEM_write_bio_X509(bio.get(), c) == 1, "certificate PEM");
  return text_of(bio);
}

RsaPem rsa_pem(int bits) {
  const Pkey key(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(bits)));
  require(key != nullptr, "RSA key generation");
  return {private_pem_of(key), public_pem_of(key),
          jwk_members_of(key, algorithm_info(Algorithm::kRs256))};
}

}  // namespace tidegate::test
