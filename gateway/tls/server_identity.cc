#include "gateway/tls/server_identity.h"

#include <ctime>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "eventstore/base/check.h"
#include "eventstore/base/whole_file.h"

namespace tidegate {
namespace {

constexpr std::size_t kFileBytesMax = 256 << 10;
constexpr std::int64_t kUsPerS = 1'000'000;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* what) const {
    Free(what);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

Bio reader_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Instead of asking for a passphrase at the terminal.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

Error bad_file(const std::string& path, std::string_view what) {
  return {Code::kBadArgument, fmt::format("'{}' {}", path, what)};
}

// Tells OpenSSL's own list of errors apart from ours: what is left on it would be taken for an
// error of the next connection.
struct CleanErrors {
  CleanErrors() { ERR_clear_error(); }
  ~CleanErrors() { ERR_clear_error(); }
  CleanErrors(const CleanErrors&) = delete;
  CleanErrors& operator=(const CleanErrors&) = delete;
};

std::int64_t unix_time(const ASN1_TIME* time) {
  std::tm parts = {};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

// TLS 1.2 with forward secrecy and authenticated encryption, or 1.3; no renegotiation. The peers
// of a WebSocket speak HTTP/1.1 below it.
int choose_http(SSL*, const unsigned char** out, unsigned char* out_bytes, const unsigned char* in,
                unsigned int in_bytes, void*) {
  static constexpr unsigned char kHttp[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_bytes, kHttp, sizeof kHttp - 1, in, in_bytes) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<SSL_CTX> new_context() {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  TG_CHECK(context != nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  // An idle connection holds no buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_http, nullptr);
  return context;
}

Status check_times(const std::string& path, const X509* certificate, std::int64_t now_s) {
  const std::int64_t begins_s = unix_time(X509_get0_notBefore(certificate));
  const std::int64_t ends_s = unix_time(X509_get0_notAfter(certificate));
  if (now_s >= ends_s) {
    return bad_file(path,
                    fmt::format("expired {} s ago: put a new certificate there", now_s - ends_s));
  }
  if (now_s < begins_s) {
    return bad_file(path, fmt::format("is valid only in {} s: is this machine's clock right?",
                                      begins_s - now_s));
  }
  return {};
}

// The first certificate is ours, the others lead to its root.
Status use_certificates(SSL_CTX* context, const std::string& path, TlsPair& pair,
                        std::int64_t now_s) {
  const Bio bio = reader_of(pair.certificate);
  const Certificate own(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_passphrase, nullptr));
  if (!own) return bad_file(path, "does not begin with a certificate in PEM");
  if (Status valid = check_times(path, own.get(), now_s); !valid) return valid;
  pair.expires_s = unix_time(X509_get0_notAfter(own.get()));
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return bad_file(path,
                    "has a certificate that TLS cannot use: its key is too weak or of a kind "
                    "that is not known");
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    // Takes it over, unless it fails.
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return bad_file(path, "has a certificate that TLS cannot use behind the first one");
    }
  }
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  return is_end ? Status() : Status(bad_file(path, "has a certificate that is damaged"));
}

Status use_key(SSL_CTX* context, const std::string& path, const std::string& certificate_path,
               const std::string& text) {
  const Key key(PEM_read_bio_PrivateKey(reader_of(text).get(), nullptr, no_passphrase, nullptr));
  if (!key) return bad_file(path, "has no private key in PEM, or one that a passphrase protects");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return bad_file(path,
                    fmt::format("is not the key of the certificate in '{}'", certificate_path));
  }
  return {};
}

// gRPC checks clients against it; here it is only looked whether there is one.
Status check_client_ca(const std::string& path, const std::string& text) {
  const Certificate first(
      PEM_read_bio_X509(reader_of(text).get(), nullptr, no_passphrase, nullptr));
  return first ? Status() : Status(bad_file(path, "has no certificate in PEM"));
}

Status read_file(const std::string& path, bool is_secret, std::string& bytes) {
  auto file = read_whole_file(path, kFileBytesMax);
  if (!file) return std::move(file).error();
  bytes = std::move(file->bytes);
  return is_secret ? check_private(path, file->mode) : Status();
}

}  // namespace

Result<std::shared_ptr<const TlsPair>> TlsPair::load(const TlsFiles& files, std::int64_t now_s) {
  const CleanErrors clean;
  auto pair = std::make_shared<TlsPair>();
  if (Status read = read_file(files.certificate, false, pair->certificate); !read)
    return read.error();
  if (Status read = read_file(files.key, true, pair->key); !read) return read.error();
  pair->context = new_context();
  SSL_CTX* const context = pair->context.get();
  if (Status used = use_certificates(context, files.certificate, *pair, now_s); !used)
    return used.error();
  if (Status used = use_key(context, files.key, files.certificate, pair->key); !used)
    return used.error();
  if (!files.client_ca.empty()) {
    if (Status read = read_file(files.client_ca, false, pair->client_ca); !read)
      return read.error();
    if (Status good = check_client_ca(files.client_ca, pair->client_ca); !good) return good.error();
  }
  return std::shared_ptr<const TlsPair>(std::move(pair));
}

Result<std::unique_ptr<ServerIdentity>> ServerIdentity::open(TlsFiles files, const Clock& clock) {
  auto pair = TlsPair::load(files, clock.wall_us() / kUsPerS);
  if (!pair) return std::move(pair).error();
  return std::unique_ptr<ServerIdentity>(
      new ServerIdentity(std::move(files), clock, *std::move(pair)));
}

std::shared_ptr<const TlsPair> ServerIdentity::current() const {
  const std::lock_guard lock(mutex_);
  return pair_;
}

Status ServerIdentity::reload() {
  auto pair = TlsPair::load(files_, clock_.wall_us() / kUsPerS);
  if (!pair) return std::move(pair).error();
  const std::lock_guard lock(mutex_);
  pair_ = *std::move(pair);
  return {};
}

}  // namespace tidegate
