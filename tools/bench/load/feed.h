#pragma once

#include <cstdint>
#include <memory>

#include "eventstore/base/result.h"
#include "tools/bench/load/connection.h"
#include "tools/bench/load/event_text.h"
#include "tools/bench/load/loop.h"
#include "tools/bench/load/peer.h"
#include "tools/bench/load/scenarios.h"
#include "tools/bench/load/subscribers.h"

namespace tidegate::load {

// No delivery for so long: what is missing is lost.
inline constexpr std::int64_t kPatienceUs = 5'000'000;

// One publisher and many subscribers of a peer, on one loop: what the scenarios with both share.
// Thread: caller serialises.
class Feed {
 public:
  Feed(const Options& options, Start start)
      : peer_(make_peer(options.peer)),
        text_(static_cast<std::size_t>(options.size)),
        publisher_(peer_->begin_publishing(0)),
        publish_port_(options.publish_port),
        publisher_mark_(options.subscribers),
        subscribers_(*peer_, start, options.subscribe_port, options.subscribers, loop_) {}

  Status open() { return publisher_.open(publish_port_, loop_.fd(), publisher_mark_); }

  // Until all are ready; `step(until_us)` takes what happens meanwhile.
  template <typename Step>
  Status connect(const Step& step) {
    constexpr std::int64_t kConnectingUs = 60'000'000;
    const std::int64_t until_us = now_us() + kConnectingUs;
    while (!subscribers_.all_ready() || !publisher_.is_ready()) {
      if (now_us() > until_us) {
        return Error{Code::kUnavailable, "the peer does not take all subscribers within a minute"};
      }
      if (Status opened = subscribers_.open_more(); !opened) return opened;
      if (Status stepped = step(until_us); !stepped) return stepped;
    }
    return {};
  }

  // Adds the next event, to be sent by `flush`.
  void add(std::int64_t time_us) {
    peer_->publish(publisher_.out(), 0, text_.make(published_, time_us));
    ++published_;
  }
  Status flush() { return publisher_.flush(); }
  std::uint64_t published() const { return published_; }

  // What happened at a socket of the loop.
  Status receive(std::uint64_t mark) {
    if (mark != publisher_mark_) return subscribers_.receive(mark);
    const Result<std::string_view> bytes = publisher_.receive(buffer_);
    if (!bytes) return bytes.error();
    const Result<std::uint64_t> count = peer_->acknowledged(*bytes);
    if (!count) return count.error();
    return publisher_.flush();
  }

  Loop& loop() { return loop_; }
  Subscribers& subscribers() { return subscribers_; }
  const Subscribers& subscribers() const { return subscribers_; }

 private:
  const std::unique_ptr<Peer> peer_;
  EventText text_;
  Loop loop_;
  Connection::Buffer buffer_ = Connection::make_buffer();
  Connection publisher_;
  const std::uint16_t publish_port_;
  const std::uint64_t publisher_mark_;  // those below are the subscribers'
  Subscribers subscribers_;
  std::uint64_t published_ = 0;
};

}  // namespace tidegate::load
