#pragma once

#include <atomic>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "eventstore/base/guarded.h"
#include "gateway/delivery/authority.h"

namespace tidegate::test {

// An authority whose tokens are the names of principals that the test made. Until the first is made
// nobody needs a token. Thread: any (internally synchronised).
class FakeAuthority final : public Authority {
 public:
  void know(const std::string& token, Principal principal) {
    known_.with([&](Known& known) {
      known[token] = std::make_shared<const Principal>(std::move(principal));
    });
  }
  void revoke(const std::string& owner) {
    revoked_.with([&](std::string& revoked) { revoked = owner; });
    revocations_.fetch_add(1);
  }

  // Of a subject, which is taken as the owner.
  Status revoke(const Revocation& revocation) override {
    revoke(revocation.name);
    return {};
  }
  Result<PrincipalRef> authenticate(std::string_view token) const override {
    return known_.with([&](const Known& known) -> Result<PrincipalRef> {
      const auto at = known.find(std::string(token));
      if (at != known.end()) return at->second;
      if (known.empty()) return Error{Code::kUnsupported, "no token is needed"};
      return Error{Code::kUnauthenticated, "an unknown token"};
    });
  }
  Result<PrincipalRef> anonymous() const override {
    return known_.with([](const Known& known) -> Result<PrincipalRef> {
      if (known.empty()) return Principal::unrestricted();
      return Error{Code::kUnauthenticated, "a token is needed"};
    });
  }
  bool is_revoked(const Principal& principal) const override {
    return revoked_.with(
        [&](const std::string& revoked) { return !revoked.empty() && revoked == principal.owner; });
  }
  std::uint64_t revocations() const override { return revocations_.load(); }

 private:
  using Known = std::map<std::string, PrincipalRef>;
  Guarded<Known> known_;
  Guarded<std::string> revoked_;
  std::atomic<std::uint64_t> revocations_{0};
};

}  // namespace tidegate::test
