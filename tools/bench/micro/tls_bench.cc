#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "eventstore/base/check.h"
#include "eventstore/base/clock.h"
#include "gateway/tls/tls_channel.h"

namespace tidegate::micro {
namespace {

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

// A P-256 key and a certificate that it signs itself, by way of files as the gateway reads them.
std::shared_ptr<const TlsPair> make_pair() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("bench"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  TG_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  BIO* const key_bio = BIO_new(BIO_s_mem());
  BIO* const certificate_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  PEM_write_bio_X509(certificate_bio, certificate);
  X509_free(certificate);
  EVP_PKEY_free(key);

  std::string folder = (std::filesystem::temp_directory_path() / "tidegate-XXXXXX").string();
  TG_CHECK(::mkdtemp(folder.data()) != nullptr);
  const TlsFiles files{folder + "/cert.pem", folder + "/key.pem", ""};
  std::ofstream(files.key) << text_of(key_bio);
  std::filesystem::permissions(files.key, std::filesystem::perms::owner_read);
  std::ofstream(files.certificate) << text_of(certificate_bio);
  auto pair = TlsPair::load(files, SystemClock().wall_us() / 1'000'000);
  std::filesystem::remove_all(folder);
  TG_CHECK(pair.has_value(), pair ? "" : pair.error().message);
  return *pair;
}

const TlsPair& pair() {
  static const std::shared_ptr<const TlsPair> made = make_pair();
  return *made;
}

// A client of OpenSSL's own that believes any certificate.
class Client {
 public:
  Client() : context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
  }
  ~Client() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Moves bytes to and fro until both are done.
  void shake_hands(TlsChannel& server) {
    std::vector<char> buffer(64 << 10);
    while (SSL_do_handshake(ssl_) != 1 || BIO_ctrl_pending(out_) > 0) {
      const int count = BIO_read(out_, buffer.data(), static_cast<int>(buffer.size()));
      if (count > 0) server.received({buffer.data(), static_cast<std::size_t>(count)});
      server.read(buffer);
      std::string& output = server.output();
      BIO_write(in_, output.data(), static_cast<int>(output.size()));
      output.clear();
    }
  }

 private:
  SSL_CTX* context_;
  SSL* ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

// One message for one connection.
void tls_encrypt(benchmark::State& state) {
  TlsChannel server(pair());
  Client client;
  client.shake_hands(server);
  const std::string message(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    TG_CHECK(server.encrypt(message));
    server.output().clear();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(tls_encrypt)->Arg(430)->Arg(4096)->Arg(16 << 10);

// Both ends of a TLS 1.3 handshake without a ticket: about half of it is the gateway's.
void tls_handshake(benchmark::State& state) {
  for (auto _ : state) {
    TlsChannel server(pair());
    Client client;
    client.shake_hands(server);
  }
}
BENCHMARK(tls_handshake);

}  // namespace
}  // namespace tidegate::micro
