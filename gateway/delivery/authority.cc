#include "gateway/delivery/authority.h"

#include <algorithm>

namespace tidegate {

Audit& Audit::nowhere() {
  class Nowhere final : public Audit {
    void note(const AuditEntry&) override {}
  };
  static Nowhere made;
  return made;
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  const auto is_same = [](char c, char want) {
    return (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) == want;
  };
  if (authorization.size() <= kScheme.size() ||
      !std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                  [&](char want, char c) { return is_same(c, want); })) {
    return std::nullopt;
  }
  return authorization.substr(kScheme.size());
}

}  // namespace tidegate
