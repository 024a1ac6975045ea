#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/types.h"
#include "tests/support/gateway_process.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {

// What a server message says of rows and events, of either subprotocol.
struct Told {
  struct Row {
    std::string key;
    std::string document;  // empty: removed
    Sequence sequence = 0;
  };
  struct Event {
    Sequence sequence = 0;
    std::string stream;
    std::string type;
    std::string data;
  };
  std::string op;  // empty: not understood, or nothing came
  std::string position;
  std::uint32_t version = 0;
  std::string code;    // of `error`
  std::string reason;  // of `gap`, `reset` and `unwatched`
  std::vector<Row> rows;
  std::vector<Event> events;

  Sequence sequence() const;  // of `position`
  static Told from_json(std::string_view text);
  static Told from_proto(const v1::ServerMessage& message);
};

enum class SessionKind : std::uint8_t { kJson, kProto, kGrpc };

// A session by any of the three ways, for tests that say the same in all of them. Pings of the
// server are passed over. Thread: caller serialises.
class SessionLink {
 public:
  // Has read the `welcome`. A failure fails the test.
  static std::unique_ptr<SessionLink> open(SessionKind kind, const GatewayProcess& gateway);
  virtual ~SessionLink() = default;

  // The same message in both forms; the link takes its own.
  virtual void send(const std::string& json, const v1::ClientMessage& message) = 0;
  // The next message; without an `op` when none came in time, or the session has ended.
  Told next(Milliseconds time = kPatience);
  // Ends the session at once, as a lost network does.
  virtual void cut() = 0;

 protected:
  virtual Told receive(Milliseconds time) = 0;
};

}  // namespace tidegate::test
