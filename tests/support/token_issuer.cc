#include "tests/support/token_issuer.h"

#include <ctime>
#include <fstream>
#include <memory>
#include <stdexcept>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

namespace tidegate::test {
namespace {

struct KeyPem {
  std::string private_pem;
  std::string public_pem;
};

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(length)};
}

KeyPem make_key() {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> secret(BIO_new(BIO_s_mem()), BIO_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> open(BIO_new(BIO_s_mem()), BIO_free);
  if (PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_PUBKEY(open.get(), key.get()) != 1) {
    throw std::runtime_error("no key could be made");
  }
  return {text_of(secret.get()), text_of(open.get())};
}

SigningKey key_with_file(const std::string& public_file) {
  const KeyPem pem = make_key();
  std::ofstream(public_file) << pem.public_pem;
  return *SigningKey::from_pem(pem.private_pem, Algorithm::kEs256);
}

std::vector<Pattern> patterns(const std::vector<std::string>& texts) {
  std::vector<Pattern> all;
  for (const std::string& text : texts) all.push_back(*Pattern::parse(text));
  return all;
}

}  // namespace

std::int64_t wall_now_s() {
  return std::time(nullptr);
}

TokenIssuer::TokenIssuer(std::string name)
    : name_(std::move(name)), key_(key_with_file(files_.file("key.pem"))) {}

std::vector<std::string> TokenIssuer::flags() const {
  return {
      "--auth-issuers",
      fmt::format(R"([{{issuer = "{}", audience = "tidegate", keys = "{}"}}])", name_, key_file())};
}

JwtClaims TokenIssuer::claims(std::string_view subject, const std::vector<std::string>& subscribe,
                              const std::vector<std::string>& publish, bool is_admin) const {
  JwtClaims claims;
  claims.issuer = name_;
  claims.subject = subject;
  claims.audience = {"tidegate"};
  claims.issued_at_s = wall_now_s();
  claims.expires_s = wall_now_s() + 3600;
  claims.grants = {patterns(subscribe), patterns(publish), is_admin};
  return claims;
}

std::string TokenIssuer::sign(const JwtClaims& claims) const {
  return *sign_jwt(key_, "", to_json(claims));
}

}  // namespace tidegate::test
