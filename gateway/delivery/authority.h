#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "gateway/delivery/audit.h"
#include "gateway/delivery/principal.h"

namespace tidegate {

// The token in an Authorization of the form `Bearer TOKEN` (RFC 6750 section 2.1; schemes are
// compared without regard to case). Thread: any (pure function).
std::optional<std::string_view> bearer_token(std::string_view authorization);

// Tokens that are refused although they are valid. Times are Unix time.
struct Revocation {
  enum class Kind : std::uint8_t {
    kToken,          // the one with this jti
    kSubject,        // every one of the subject, whatever its issuer
    kSubjectBefore,  // those of the subject that were issued before `issued_before_s`, or do not
                     // say when
  };
  Kind kind = Kind::kToken;
  std::string name;                  // the jti or the subject
  std::int64_t issued_before_s = 0;  // of kSubjectBefore
  // When it may be forgotten: not before the last token that it is about has expired.
  std::int64_t expires_s = 0;
};

// Who says what a token is worth, and what it is not worth any more. Implemented by gateway/auth;
// used at the upgrade, by gRPC and by sessions. Thread: any (internally synchronised).
class Authority {
 public:
  virtual ~Authority() = default;

  // The principal of a token, now. kUnauthenticated with the reason; kUnavailable when the keys are
  // not here yet; kUnsupported where no authentication is configured.
  virtual Result<PrincipalRef> authenticate(std::string_view token) const = 0;
  // Who comes without a token. kUnauthenticated where one is needed.
  virtual Result<PrincipalRef> anonymous() const = 0;
  // Who comes without a token but with a certificate that was verified, by its subjectAltNames. As
  // `anonymous` when they mean nothing.
  virtual Result<PrincipalRef> by_certificate(
      const std::vector<std::string_view>& /*names*/) const {
    return anonymous();
  }

  // On disk when it returns. kBadArgument, kLimit when there are too many, kInternal; kUnsupported
  // where nobody has a token.
  virtual Status revoke(const Revocation& revocation) = 0;
  // Whether it was revoked since it was made.
  virtual bool is_revoked(const Principal& principal) const = 0;
  // Changes whenever somebody is revoked, so that sessions ask only then.
  virtual std::uint64_t revocations() const = 0;

  // Where it is noted who was let in, refused or denied something.
  virtual Audit& audit() const { return Audit::nowhere(); }
};

// Without configured authentication: nobody has a token, and nobody is revoked.
class NoAuthority final : public Authority {
 public:
  explicit NoAuthority(Audit& audit = Audit::nowhere()) : audit_(audit) {}

  Result<PrincipalRef> authenticate(std::string_view) const override {
    return Error{Code::kUnsupported, "this gateway has no authentication: no token is needed"};
  }
  Result<PrincipalRef> anonymous() const override { return Principal::unrestricted(); }
  Status revoke(const Revocation&) override {
    return Error{Code::kUnsupported, "this gateway has no authentication: no token to revoke"};
  }
  bool is_revoked(const Principal&) const override { return false; }
  std::uint64_t revocations() const override { return 0; }
  Audit& audit() const override { return audit_; }

 private:
  Audit& audit_;
};

}  // namespace tidegate
