#include "tests/auth/jwks_server.h"

#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace tidegate::test {
namespace {

using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Connection = std::unique_ptr<SSL, Freed<SSL_free>>;

Bio reading(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

std::pair<int, std::uint16_t> listen_on_loopback() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in place = {};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof place;
  auto* const address = reinterpret_cast<sockaddr*>(&place);
  require(::bind(fd, address, size) == 0 && ::listen(fd, 16) == 0 &&
              ::getsockname(fd, address, &size) == 0,
          "listen");
  return {fd, ntohs(place.sin_port)};
}

}  // namespace

void SslContextDeleter::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

JwksServer::JwksServer(const TestKey& tls)
    : ca_(tls.certificate_pem), context_(SSL_CTX_new(TLS_server_method())) {
  const std::unique_ptr<X509, Freed<X509_free>> certificate(
      PEM_read_bio_X509(reading(tls.certificate_pem).get(), nullptr, nullptr, nullptr));
  const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>> key(
      PEM_read_bio_PrivateKey(reading(tls.private_pem).get(), nullptr, nullptr, nullptr));
  require(SSL_CTX_use_certificate(context_.get(), certificate.get()) == 1 &&
              SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1,
          "TLS context");
  std::tie(listener_, port_) = listen_on_loopback();
  thread_ = std::thread([this] { run(); });
}

JwksServer::~JwksServer() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    if (connection_ >= 0) ::shutdown(connection_, SHUT_RDWR);
  }
  changed_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
}

std::string JwksServer::url() const {
  return fmt::format("https://127.0.0.1:{}/keys", port_);
}

void JwksServer::answer_with(Answer answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

void JwksServer::release() {
  const std::lock_guard lock(mutex_);
  ++released_;
  changed_.notify_all();
}

bool JwksServer::wait_for_requests(std::uint64_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return requests_ >= count; });
}

std::uint64_t JwksServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void JwksServer::run() {
  // A client that has gone must not end the test.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  while (true) {
    const int fd = ::accept(listener_, nullptr, nullptr);
    {
      const std::lock_guard lock(mutex_);
      connection_ = fd;
      if (is_stopping_ || fd < 0) {
        if (fd >= 0) ::close(fd);
        return;
      }
    }
    serve(fd);
    const std::lock_guard lock(mutex_);
    connection_ = -1;
    ::close(fd);
  }
}

void JwksServer::serve(int fd) {
  const Connection ssl(SSL_new(context_.get()));
  SSL_set_fd(ssl.get(), fd);
  if (SSL_accept(ssl.get()) != 1) return;
  std::string request;
  std::array<char, 4096> piece;
  while (request.find("\r\n\r\n") == std::string::npos) {
    const int count = SSL_read(ssl.get(), piece.data(), static_cast<int>(piece.size()));
    if (count <= 0) return;
    request.append(piece.data(), static_cast<std::size_t>(count));
  }
  Answer answer;
  std::uint64_t released = 0;
  {
    const std::lock_guard lock(mutex_);
    ++requests_;
    released = released_;
    answer = answer_;
    changed_.notify_all();
  }
  reply(ssl.get(), answer, released);
}

void JwksServer::reply(SSL* ssl, const Answer& answer, std::uint64_t released) {
  const std::string head = fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n", answer.status,
                                       answer.body.size(), answer.headers);
  if (SSL_write(ssl, head.data(), static_cast<int>(head.size())) <= 0) return;
  if (answer.is_held) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_stopping_ || released_ > released; });
  }
  if (!answer.body.empty())
    SSL_write(ssl, answer.body.data(), static_cast<int>(answer.body.size()));
  SSL_shutdown(ssl);
}

}  // namespace tidegate::test
