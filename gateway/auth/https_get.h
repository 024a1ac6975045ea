#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// Fetches one small document over HTTPS, again and again, and believes little: no other scheme, no
// redirect, no proxy from the environment, status 200 only, a bounded body, a bounded time.
// Thread: `run` on one thread at a time; `abort` on any.
class HttpsGet {
 public:
  struct Options {
    std::string url;
    std::string ca_file = {};  // PEM; empty: the certificates that the system trusts
    std::size_t body_bytes_max = 64 * 1024;
    int timeout_ms = 3000;  // for everything: name, connection, TLS, body
  };

  // kBadArgument for a URL that is not https://host/..., or that carries a password, which would
  // end in logs; and for a CA file that cannot be read.
  static Result<std::unique_ptr<HttpsGet>> make(Options options);
  ~HttpsGet();
  HttpsGet(const HttpsGet&) = delete;
  HttpsGet& operator=(const HttpsGet&) = delete;

  const std::string& url() const;

  // The body, or kUnavailable with the reason.
  Result<std::string> run();

  // Ends a `run` at once, and every later one.
  void abort();

 private:
  struct Impl;
  explicit HttpsGet(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// Whether the place of keys is an address ("https://..." or another scheme) rather than a file.
bool is_url(std::string_view place);

}  // namespace tidegate
