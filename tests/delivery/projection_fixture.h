#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {

using Rows = std::map<std::string, std::string>;

// What a client makes of the rows that it is told.
inline void take_rows(Rows& rows, const std::vector<SeenMessage>& seen) {
  for (const SeenMessage& message : seen) {
    if (message.op == "watch_reset" || message.op == "gap") rows.clear();
    if (message.op != "rows") continue;
    for (const SeenMessage::Row& row : message.rows) {
      if (row.value.empty()) {
        rows.erase(row.key);
      } else {
        rows[row.key] = row.value;
      }
    }
  }
}

inline v1::ClientMessage watch(const std::string& id) {
  v1::ClientMessage message;
  message.mutable_watch()->set_id(id);
  message.mutable_watch()->set_projection("p");
  return message;
}

inline v1::ClientMessage watch_prefix(const std::string& id, const std::string& prefix) {
  v1::ClientMessage message = watch(id);
  message.mutable_watch()->mutable_selection()->set_prefix(prefix);
  return message;
}

inline v1::ClientMessage watch_after(const std::string& id, const Position& position,
                                     unsigned version) {
  v1::ClientMessage message = watch(id);
  message.mutable_watch()->mutable_after()->set_position(position.text());
  message.mutable_watch()->mutable_after()->set_version(version);
  return message;
}

inline v1::ClientMessage query(const std::string& request) {
  v1::ClientMessage message;
  message.mutable_query()->set_request(request);
  message.mutable_query()->set_projection("p");
  return message;
}

inline v1::ClientMessage subscribe_with_snapshot(const std::string& id, Sequence after) {
  v1::ClientMessage message;
  v1::SubscribeOp& op = *message.mutable_subscribe();
  op.set_id(id);
  op.add_streams(">");
  op.mutable_start()->set_after_sequence(after);
  op.set_on_gap(v1::ON_GAP_SNAPSHOT);
  op.set_projection("p");
  return message;
}

// A loop over a fake projection. Thread: caller serialises.
class ProjectionFixture : public DeliveryFixture {
 protected:
  ProjectionFixture() = default;
  explicit ProjectionFixture(const SessionLimits& limits) : DeliveryFixture(limits) {}

  // An event that changes these rows to this value.
  void change(const std::vector<std::string>& keys, const std::string& value) {
    append(1);
    for (const std::string& key : keys) projections_.put(key, value);
    projections_.commit();
  }
  std::vector<SeenMessage> say(Peer& peer, const v1::ClientMessage& message) {
    peer.say(message);
    settle(peer);
    return peer.take();
  }
  std::vector<SeenMessage> heard(Peer& peer) {
    settle(peer);
    return peer.take();
  }
  PrincipalRef somebody(const std::vector<std::string>& grants) {
    Principal made;
    made.owner = "issuer somebody";
    made.subject = "somebody";
    for (const std::string& grant : grants) made.subscribe.push_back(*Pattern::parse(grant));
    return std::make_shared<const Principal>(std::move(made));
  }
};

}  // namespace tidegate::test
