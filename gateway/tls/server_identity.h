#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"

struct ssl_ctx_st;

namespace tidegate {

// Where the listeners' certificate is.
struct TlsFiles {
  std::string certificate;  // PEM: the certificate, then those between it and its root
  std::string key;          // PEM, without a passphrase, for its owner's eyes alone
  std::string client_ca;    // PEM: who signs the certificates of clients; empty: none are asked for

  bool is_configured() const { return !certificate.empty(); }
};

// A certificate and its key as they are in force together: for OpenSSL, and as texts for gRPC.
// Thread: immutable.
struct TlsPair {
  std::string certificate;
  std::string key;
  std::string client_ca;
  std::int64_t expires_s = 0;  // Unix time
  std::shared_ptr<ssl_ctx_st> context;

  // kBadArgument with the file and what is wrong with it: not PEM, a passphrase, a key of another
  // certificate or that others may read, not valid at `now_s`; kNotFound.
  static Result<std::shared_ptr<const TlsPair>> load(const TlsFiles& files, std::int64_t now_s);
};

// Who the listeners are: a pair that is exchanged as a whole. Connections keep the one that they
// began with. Thread: any (internally synchronised).
class ServerIdentity {
 public:
  // `clock` must outlive it. Errors as TlsPair::load.
  static Result<std::unique_ptr<ServerIdentity>> open(TlsFiles files, const Clock& clock);

  std::shared_ptr<const TlsPair> current() const;
  // Reads the files again. The pair from before stays after any error.
  Status reload();

 private:
  ServerIdentity(TlsFiles files, const Clock& clock, std::shared_ptr<const TlsPair> pair)
      : files_(std::move(files)), clock_(clock), pair_(std::move(pair)) {}

  const TlsFiles files_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsPair> pair_;  // under mutex_
};

}  // namespace tidegate
