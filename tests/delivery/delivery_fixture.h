#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/delivery/delivery_loop.h"
#include "gateway/delivery/session.h"
#include "tests/delivery/seen_message.h"
#include "tests/support/fake_authority.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_projections.h"
#include "tests/support/fake_transport.h"
#include "tests/support/manual_clock.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {

// A client's message in a wire form. JSON is written here by hand, for subscribe, ack, update,
// unsubscribe, query, watch and unwatch.
std::string write_client_message(WireForm form, const v1::ClientMessage& message);

// One client and its connection.
// Thread: caller serialises.
class Peer {
 public:
  Peer(DeliveryLoop& loop, WireForm form, PrincipalRef principal);

  void say(const std::string& bytes) { session_->on_message(bytes); }
  void say(const v1::ClientMessage& message) { say(write_client_message(form, message)); }
  // Ends the write in flight and keeps what came. False when there is none.
  bool take_write();
  // What came since the last call.
  std::vector<SeenMessage> take();
  void disconnect() { session_.reset(); }

  const WireForm form;
  FakeTransport transport;

 private:
  std::unique_ptr<Session> session_;
  std::vector<SeenMessage> seen_;
};

// A loop over a fake log, and peers.
class DeliveryFixture : public testing::Test {
 protected:
  DeliveryFixture() : DeliveryFixture(SessionLimits{}) {}
  explicit DeliveryFixture(const SessionLimits& limits)
      : loop_(std::make_unique<DeliveryLoop>(log_, projections_, clock_, limits, probe_, authority_,
                                             nullptr, "tidegate test")) {}

  // Its welcome is taken.
  std::unique_ptr<Peer> connect(WireForm form = WireForm::kJson,
                                PrincipalRef principal = Principal::unrestricted());
  // Everything that can happen without time passing.
  void settle(Peer& peer);
  // The same, but the peer does not read.
  void settle_log();
  // Says it and returns what comes of it.
  std::vector<SeenMessage> ask(Peer& peer, const std::string& text);
  void append(int count, const std::string& stream = "a.b", const std::string& type = "t");
  // By ticks of 250 ms.
  void pass_ms(std::int64_t ms);

  ManualClock clock_;
  FakeLog log_;
  FakeProjections projections_{log_};
  DeliveryProbe probe_;
  FakeAuthority authority_;
  std::unique_ptr<DeliveryLoop> loop_;
};

// "op id, op id, ..." of messages, for a first look at an exchange.
std::string ops(const std::vector<SeenMessage>& messages);
// The sequences of all events in them.
std::vector<Sequence> sequences(const std::vector<SeenMessage>& messages);
std::vector<Sequence> range(Sequence first, Sequence last);

}  // namespace tidegate::test
