#include "gateway/tls/tls_channel.h"

#include <algorithm>
#include <cstring>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "eventstore/base/check.h"

namespace tidegate {

// What OpenSSL takes for the socket: the channel's strings.
struct TlsChannelBio {
  static TlsChannel& channel(BIO* bio) { return *static_cast<TlsChannel*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, std::size_t size, std::size_t* count) {
    TlsChannel& self = channel(bio);
    BIO_clear_retry_flags(bio);
    const std::size_t left = self.input_.size() - self.input_taken_;
    if (left == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    *count = std::min(size, left);
    std::memcpy(to, self.input_.data() + self.input_taken_, *count);
    self.input_taken_ += *count;
    if (*count == left) {
      self.input_ = {};  // an idle connection keeps no buffer
      self.input_taken_ = 0;
    }
    return 1;
  }

  static int write(BIO* bio, const char* from, std::size_t size, std::size_t* count) {
    channel(bio).output_.append(from, size);
    *count = size;
    return 1;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* created = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tidegate");
      TG_CHECK(created != nullptr);
      BIO_meth_set_read_ex(created, read);
      BIO_meth_set_write_ex(created, write);
      BIO_meth_set_ctrl(created, control);
      return created;
    }();
    return made;
  }
};

void TlsChannel::Deleter::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

TlsChannel::TlsChannel(const TlsPair& pair) : ssl_(SSL_new(pair.context.get())) {
  BIO* const bio = BIO_new(TlsChannelBio::method());
  TG_CHECK(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_accept_state(ssl_.get());
}

TlsChannel::~TlsChannel() = default;

void TlsChannel::received(std::string_view cipher) {
  input_ += cipher;
}

TlsChannel::Read TlsChannel::read(std::span<char> plain) {
  if (has_failed_) return {0, State::kFailed};
  ERR_clear_error();
  std::size_t total = 0;
  while (total < plain.size()) {
    std::size_t count = 0;
    if (SSL_read_ex(ssl_.get(), plain.data() + total, plain.size() - total, &count) == 1) {
      total += count;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), 0);
    if (error == SSL_ERROR_WANT_READ) break;
    // What was read before it is still good.
    if (total > 0) break;
    if (error == SSL_ERROR_ZERO_RETURN) return {0, State::kEnded};
    has_failed_ = true;
    ERR_clear_error();
    return {0, State::kFailed};
  }
  return {total, State::kOpen};
}

bool TlsChannel::has_plain() const {
  return !has_failed_ && (SSL_pending(ssl_.get()) > 0 || !input_.empty());
}

bool TlsChannel::encrypt(std::string_view plain) {
  if (has_failed_ || SSL_is_init_finished(ssl_.get()) != 1) return false;
  TG_CHECK(plain.size() <= kRecordBytes, plain.size());
  ERR_clear_error();
  std::size_t count = 0;
  // Never partly: what is written to always takes it.
  if (SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &count) == 1) return true;
  has_failed_ = true;
  ERR_clear_error();
  return false;
}

void TlsChannel::finish() {
  if (has_failed_ || SSL_is_init_finished(ssl_.get()) != 1) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace tidegate
