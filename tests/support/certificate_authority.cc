#include "tests/support/certificate_authority.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace tidegate::test {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

std::shared_ptr<EVP_PKEY> new_key() {
  std::shared_ptr<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  require(key != nullptr, "no key could be made");
  return key;
}

void add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
  X509_EXTENSION_free(extension);
}

std::shared_ptr<X509> new_certificate(EVP_PKEY* key, const char* common_name, long serial,
                                      std::int64_t begins_in_s, std::int64_t ends_in_s) {
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  X509* const c = certificate.get();
  X509_set_version(c, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(c), serial);
  X509_gmtime_adj(X509_getm_notBefore(c), begins_in_s);
  X509_gmtime_adj(X509_getm_notAfter(c), ends_in_s);
  X509_set_pubkey(c, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  return certificate;
}

template <typename Write>
void write_pem(const std::string& path, const Write& write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  require(write(bio.get()) == 1, "no PEM could be written");
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  std::ofstream(path, std::ios::trunc) << std::string_view(data, static_cast<std::size_t>(length));
}

}  // namespace

CertificateAuthority::CertificateAuthority() : key_(new_key()) {
  constexpr std::int64_t kDayS = 24 * 3600;
  certificate_ = new_certificate(key_.get(), "tidegate test CA", 1, -kDayS, kDayS);
  X509* const c = certificate_.get();
  X509_set_issuer_name(c, X509_get_subject_name(c));
  add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(c, c, NID_key_usage, "critical,keyCertSign");
  require(X509_sign(c, key_.get(), EVP_sha256()) > 0, "X509_sign");
  write_pem(file(), [c](BIO* bio) { return PEM_write_bio_X509(bio, c); });
}

CertificateAuthority::~CertificateAuthority() = default;

CertificateAuthority::Files CertificateAuthority::issue(const std::string& name,
                                                        const Wanted& wanted) const {
  const std::shared_ptr<EVP_PKEY> key = new_key();
  const std::shared_ptr<X509> certificate = new_certificate(key.get(), name.c_str(), ++last_serial_,
                                                            wanted.begins_in_s, wanted.ends_in_s);
  X509* const c = certificate.get();
  X509_set_issuer_name(c, X509_get_subject_name(certificate_.get()));
  add_extension(c, certificate_.get(), NID_subject_alt_name, wanted.names);
  require(X509_sign(c, key_.get(), EVP_sha256()) > 0, "X509_sign");
  Files files{files_.file(name + ".pem"), files_.file(name + ".key")};
  write_pem(files.certificate, [c](BIO* bio) { return PEM_write_bio_X509(bio, c); });
  write_pem(files.key, [&key](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  std::filesystem::permissions(
      files.key, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return files;
}

}  // namespace tidegate::test
