#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "tools/bench/load/connection.h"
#include "tools/bench/load/event_text.h"
#include "tools/bench/load/loop.h"
#include "tools/bench/load/peer.h"
#include "tools/tidegate/histogram.h"

namespace tidegate::load {

// Many subscribers, each of whom must get events 0, 1, 2, .. once and in order.
// Thread: caller serialises.
class Subscribers {
 public:
  // Their sockets have the marks from 0 up to `count` in the loop.
  Subscribers(const Peer& peer, Start start, std::uint16_t port, std::uint64_t count, Loop& loop);

  // Opens connections, a bounded number at a time; to be called until `all_ready`.
  Status open_more();
  bool all_ready() const { return ready_ == count_; }

  // Cuts all connections; `open_more` opens them again, each to resume where it was.
  void cut();
  // To be able to resume: keeps a copy of what came last.
  void remember() { remembers_ = true; }

  // Something happened at the socket of `mark`.
  Status receive(std::uint64_t mark);

  // Events below are received by all, or will never be.
  std::uint64_t received_by_all() const { return passed_; }
  std::uint64_t deliveries() const { return deliveries_; }
  std::uint64_t bytes() const;
  // When the last delivery was received.
  std::int64_t last_us() const { return last_us_; }
  const Histogram& latency_us() const { return latency_us_; }

  // What was not right, when `events` have been published.
  std::uint64_t lost(std::uint64_t events) const;
  std::uint64_t duplicated() const { return duplicated_; }

 private:
  struct One {
    std::unique_ptr<Connection> connection;
    std::uint64_t next = 0;  // event
    std::string tail;        // of what came, when it is remembered
  };

  std::vector<Step> steps_of(std::uint64_t number, const One& one) const;

  void take(One& one, EventHead event, std::int64_t received_us);
  void move(std::uint64_t from, std::uint64_t to);

  const Peer& peer_;
  const Start start_;
  const std::uint16_t port_;
  const std::uint64_t count_;
  Loop& loop_;
  Connection::Buffer buffer_ = Connection::make_buffer();
  std::vector<One> all_;
  std::uint64_t opened_ = 0;
  std::uint64_t ready_ = 0;
  bool remembers_ = false;
  bool was_cut_ = false;

  // How many subscribers wait for event passed_ + i.
  std::deque<std::uint64_t> waiting_;
  std::uint64_t passed_ = 0;

  std::uint64_t deliveries_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t duplicated_ = 0;
  std::int64_t last_us_ = 0;
  Histogram latency_us_;
};

}  // namespace tidegate::load
