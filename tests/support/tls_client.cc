#include "tests/support/tls_client.h"

#include <csignal>
#include <fcntl.h>
#include <poll.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace tidegate::test {

void TlsClient::Deleter::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

TlsClient::TlsClient(const TcpClient& socket, const Options& options) : fd_(socket.fd()) {
  // OpenSSL writes without MSG_NOSIGNAL, and the gateway may have closed.
  std::signal(SIGPIPE, SIG_IGN);
  ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  SSL_CTX_load_verify_locations(context.get(), options.ca_file.c_str(), nullptr);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (options.version_max != 0) {
    SSL_CTX_set_security_level(context.get(), 0);  // or old versions are not even offered
    SSL_CTX_set_max_proto_version(context.get(), options.version_max);
  }
  ssl_.reset(SSL_new(context.get()));
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), "127.0.0.1");
  SSL_set_fd(ssl_.get(), fd_);
  const Deadline deadline(kPatience);
  int result = 0;
  while ((result = SSL_connect(ssl_.get())) != 1) {
    if (!wait(result, deadline)) return;
  }
}

TlsClient::~TlsClient() = default;

std::string TlsClient::server_serial() const {
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return {};
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr), BN_free);
  char* const text = BN_bn2hex(number.get());
  const std::string serial = text;
  OPENSSL_free(text);
  return serial;
}

bool TlsClient::wait(int result, const Deadline& deadline) {
  const int reason = SSL_get_error(ssl_.get(), result);
  if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
    const unsigned long code = ERR_get_error();
    const char* const text = code == 0 ? nullptr : ERR_reason_error_string(code);
    error_ = text == nullptr ? "the peer has gone" : text;
    ERR_clear_error();
    return false;
  }
  const short events = reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
  pollfd item = {fd_, events, 0};
  if (::poll(&item, 1, deadline.left_ms()) > 0) return true;
  error_ = "the time is over";
  return false;
}

bool TlsClient::send(std::string_view bytes, Milliseconds time) {
  const Deadline deadline(time);
  while (!bytes.empty()) {
    const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (!wait(sent, deadline)) {
      return false;
    }
  }
  return true;
}

bool TlsClient::ask_for_new_keys(Milliseconds time) {
  const Deadline deadline(time);
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) != 1) return false;
  int result = 0;
  while ((result = SSL_do_handshake(ssl_.get())) != 1) {
    if (!wait(result, deadline)) return false;
  }
  return true;
}

std::optional<std::string> TlsClient::receive(Milliseconds time) {
  const Deadline deadline(time);
  std::string bytes(64 << 10, '\0');
  while (true) {
    const int count = SSL_read(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    if (count > 0) {
      bytes.resize(static_cast<std::size_t>(count));
      return bytes;
    }
    if (!wait(count, deadline)) {
      return deadline.is_over() ? std::nullopt : std::optional<std::string>("");
    }
  }
}

}  // namespace tidegate::test
