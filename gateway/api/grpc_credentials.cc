#include "gateway/api/grpc_credentials.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

namespace tidegate {
namespace {

constexpr unsigned kLookEveryS = 1;

Error no_file(std::string_view what) {
  return {Code::kInternal,
          fmt::format("the certificate cannot be {}: {}", what, std::strerror(errno))};
}

// A file in memory with this text.
Result<int> memory_file(std::string_view text) {
  const int fd = ::memfd_create("tidegate-tls", MFD_CLOEXEC);
  if (fd < 0) return no_file("kept");
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const Error error = no_file("kept");
      ::close(fd);
      return error;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return fd;
}

// The descriptor keeps its number, and so its path.
Status replace(int fd, std::string_view text) {
  const Result<int> fresh = memory_file(text);
  if (!fresh) return fresh.error();
  const int done = ::dup3(*fresh, fd, O_CLOEXEC);
  const Status status = done < 0 ? Status(no_file("exchanged")) : Status();
  ::close(*fresh);
  return status;
}

std::string path_of(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

std::string identity_text(const TlsPair& pair) {
  return pair.key + "\n" + pair.certificate;
}

}  // namespace

Result<std::unique_ptr<GrpcCertificate>> GrpcCertificate::make(const TlsPair& pair) {
  std::unique_ptr<GrpcCertificate> made(new GrpcCertificate());
  const Result<int> identity = memory_file(identity_text(pair));
  if (!identity) return identity.error();
  made->identity_fd_ = *identity;
  if (pair.client_ca.empty()) return made;
  const Result<int> client_ca = memory_file(pair.client_ca);
  if (!client_ca) return client_ca.error();
  made->client_ca_fd_ = *client_ca;
  return made;
}

GrpcCertificate::~GrpcCertificate() {
  if (identity_fd_ >= 0) ::close(identity_fd_);
  if (client_ca_fd_ >= 0) ::close(client_ca_fd_);
}

std::shared_ptr<grpc::ServerCredentials> GrpcCertificate::credentials() const {
  namespace tls = grpc::experimental;
  const std::string identity = path_of(identity_fd_);
  const std::string client_ca = client_ca_fd_ < 0 ? "" : path_of(client_ca_fd_);
  tls::TlsServerCredentialsOptions options(std::make_shared<tls::FileWatcherCertificateProvider>(
      identity, identity, client_ca, kLookEveryS));
  options.watch_identity_key_cert_pairs();
  if (client_ca_fd_ >= 0) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

Status GrpcCertificate::exchange(const TlsPair& pair) {
  if (client_ca_fd_ >= 0 && !pair.client_ca.empty()) {
    if (Status replaced = replace(client_ca_fd_, pair.client_ca); !replaced) return replaced;
  }
  return replace(identity_fd_, identity_text(pair));
}

}  // namespace tidegate
