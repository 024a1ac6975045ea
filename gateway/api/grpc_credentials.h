#pragma once

#include <memory>

#include <grpcpp/security/server_credentials.h>

#include "gateway/tls/server_identity.h"

namespace tidegate {

// The gRPC listener's certificate, which can be exchanged while it serves. gRPC only exchanges what
// it reads from files, once a second: these files are in memory, and the key is in one with its
// certificate, so that gRPC never sees one without the other.
// Thread: caller serialises.
class GrpcCertificate {
 public:
  // kInternal when the system has no file left.
  static Result<std::unique_ptr<GrpcCertificate>> make(const TlsPair& pair);
  ~GrpcCertificate();
  GrpcCertificate(const GrpcCertificate&) = delete;
  GrpcCertificate& operator=(const GrpcCertificate&) = delete;

  // Clients are asked for a certificate when the pair has a `client_ca`, but need not have one:
  // they may send a token.
  std::shared_ptr<grpc::ServerCredentials> credentials() const;
  // In force a second later at the latest; connections keep what they began with. The pair before
  // stays after an error, kInternal.
  Status exchange(const TlsPair& pair);

 private:
  GrpcCertificate() = default;

  int identity_fd_ = -1;
  int client_ca_fd_ = -1;  // none: nobody is asked for a certificate
};

}  // namespace tidegate
