#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/append.h"
#include "eventstore/base/result.h"
#include "eventstore/filter.h"
#include "gateway/delivery/budget.h"

namespace tidegate {

// Who a session or a call belongs to, and what it may do. Made by an Authority from a token, or
// `unrestricted` where no authentication is configured. The default may do nothing.
// Thread: immutable.
struct Principal {
  // Whose cursors its are: two issuers may know the same subject. Empty without authentication.
  std::string owner;
  std::string subject;
  // What revocations name; empty or 0 when the token does not say.
  std::string token_id;
  std::int64_t issued_at_s = 0;
  // From then on it may do nothing more. Unix time; 0: never.
  std::int64_t expires_s = 0;

  std::vector<Pattern> subscribe;
  std::vector<Pattern> publish;
  bool is_admin = false;
  // Development mode: everything, reserved streams included.
  bool is_unrestricted = false;
  // What its owner may take per second, shared by all principals of the owner; null: no limit.
  std::shared_ptr<Budget> budget;

  static std::shared_ptr<const Principal> unrestricted();

  // Each of the filter's patterns must be within the grants. kForbidden names the first that is
  // not.
  Status check_subscribe(const Filter& filter) const;
  // Every stream must be within the grants, and those that its checks tell about may be seen
  // (kForbidden); what is permitted is taken from the budget (kRateLimited).
  Status take_publish(const AppendRequest& request) const;
  // Whether it may know about this stream.
  bool may_see(std::string_view stream) const;
  // Whether it may read this projection: a subscribe grant covers the stream name
  // `_projections.NAME`. kBadArgument for what is no name, kForbidden.
  Status check_projection(std::string_view name) const;
  // These bytes of the log, or of projections, were read from disk for it; how many ms to wait
  // before more are.
  std::int64_t charge_replay(std::size_t bytes) const;
  // Anything at all.
  bool may_publish() const { return is_unrestricted || !publish.empty(); }
};

using PrincipalRef = std::shared_ptr<const Principal>;

}  // namespace tidegate
