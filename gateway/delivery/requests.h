#pragma once

#include <string>
#include <string_view>

#include "eventstore/append.h"
#include "eventstore/base/result.h"
#include "eventstore/filter.h"
#include "eventstore/reader.h"
#include "gateway/delivery/limits.h"
#include "gateway/delivery/projection_access.h"
#include "gateway/delivery/subscription.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate {

// The peer's operations, checked and turned into our own types.
// Thread: any (pure functions of this file).

struct SubscribeRequest {
  Subscription::Settings settings;  // without number
  StartPlace place;
};

// kBadArgument, kBadPattern, kBadPosition, kLimit or kUnsupported with the field and its value.
Result<SubscribeRequest> check_subscribe(const v1::SubscribeOp& op, const SessionLimits& limits);
Result<Filter> check_update(const v1::UpdateOp& op);
Result<Subscription::Claim> check_ack(const v1::AckOp& op);
Result<QueryRequest> check_query(const v1::QueryOp& op, const SessionLimits& limits);
Result<WatchRequest> check_watch(const v1::WatchOp& op);
// Without `done`. Also kBadEvent and kEventTooLarge.
Result<AppendRequest> check_publish(const v1::PublishOp& op);

// `next` of a page that ended with this key. Not the key itself: that may be empty.
std::string page_token_of(std::string_view key);

// The names that the peer gives: 1 to `limits.id_bytes` bytes of UTF-8.
Status check_id(std::string_view id, std::string_view what, const SessionLimits& limits);

}  // namespace tidegate
