// What sessions tell whoever keeps presence, and in which order.

#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "gateway/delivery/presence.h"
#include "tests/delivery/projection_fixture.h"

namespace tidegate::test {
namespace {

class HeardPresence final : public Presence {
 public:
  void connected(std::string_view connection, std::string_view subject,
                 std::string_view surface) override {
    heard_.push_back(fmt::format("connected {} '{}' {}", connection, subject, surface));
  }
  void subscribed(std::string_view connection, std::string_view id, const Filter& filter) override {
    heard_.push_back(
        fmt::format("subscribed {} {} {}", connection, id, filter.patterns().front().text()));
  }
  void unsubscribed(std::string_view connection, std::string_view id) override {
    heard_.push_back(fmt::format("unsubscribed {} {}", connection, id));
  }
  void watching(std::string_view connection, std::string_view id,
                std::string_view projection) override {
    heard_.push_back(fmt::format("watching {} {} {}", connection, id, projection));
  }
  void unwatched(std::string_view connection, std::string_view id) override {
    heard_.push_back(fmt::format("unwatched {} {}", connection, id));
  }
  void disconnected(std::string_view connection) override {
    heard_.push_back(fmt::format("disconnected {}", connection));
  }

  std::vector<std::string> take() { return std::exchange(heard_, {}); }

 private:
  std::vector<std::string> heard_;
};

using Lines = std::vector<std::string>;

class SessionPresenceTest : public ProjectionFixture {
 protected:
  SessionPresenceTest() {
    loop_ = std::make_unique<DeliveryLoop>(log_, projections_, clock_, SessionLimits{}, probe_,
                                           authority_, &presence_, "tidegate test");
  }

  HeardPresence presence_;
};

TEST_F(SessionPresenceTest, TellsWhatBeginsAndEnds) {
  auto ann = std::make_shared<Principal>(*Principal::unrestricted());
  ann->subject = "ann";
  const auto peer = connect(WireForm::kJson, ann);
  EXPECT_EQ(presence_.take(), (Lines{"connected c1 'ann' test"}));
  ask(*peer, R"({"op":"subscribe","id":"s","streams":["a.*"],"from":"head"})");
  EXPECT_EQ(presence_.take(), (Lines{"subscribed c1 s a.*"}));
  ask(*peer, R"({"op":"update","id":"s","streams":["b.*"]})");
  EXPECT_EQ(presence_.take(), (Lines{"subscribed c1 s b.*"}));
  ask(*peer, R"({"op":"unsubscribe","id":"s"})");
  EXPECT_EQ(presence_.take(), (Lines{"unsubscribed c1 s"}));
  ask(*peer, R"({"op":"watch","id":"w","projection":"p"})");
  EXPECT_EQ(presence_.take(), (Lines{"watching c1 w p"}));
  ask(*peer, R"({"op":"unwatch","id":"w"})");
  EXPECT_EQ(presence_.take(), (Lines{"unwatched c1 w"}));
  peer->disconnect();
  EXPECT_EQ(presence_.take(), (Lines{"disconnected c1"}));
}

TEST_F(SessionPresenceTest, TheEndOfAConnectionIsToldOnceAndForAll) {
  const auto peer = connect();
  ask(*peer, R"({"op":"subscribe","id":"s","streams":["a.*"],"from":"head"})");
  ask(*peer, R"({"op":"watch","id":"w","projection":"p"})");
  presence_.take();
  loop_->drain(0);
  pass_ms(500);
  settle(*peer);
  EXPECT_EQ(presence_.take(), (Lines{"disconnected c1"}));
  peer->disconnect();
  EXPECT_EQ(presence_.take(), Lines{});
}

TEST_F(SessionPresenceTest, WhatDidNotBeginIsNotTold) {
  auto nobody = std::make_shared<Principal>();
  const auto peer = connect(WireForm::kJson, nobody);
  presence_.take();
  EXPECT_EQ(ops(ask(*peer, R"({"op":"subscribe","id":"s","streams":["a.*"],"from":"head"})")),
            "error s");
  EXPECT_EQ(ops(ask(*peer, R"({"op":"watch","id":"w","projection":"p"})")), "error w");
  EXPECT_EQ(presence_.take(), Lines{});
}

}  // namespace
}  // namespace tidegate::test
