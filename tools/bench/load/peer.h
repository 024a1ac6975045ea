#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "tools/bench/load/connection.h"

namespace tidegate::load {

// Where a subscription begins. kResumable: at the head, and so that `resume` is possible.
enum class Start { kHead, kOldest, kResumable };

// What a subscriber had when its connection was cut.
struct Seen {
  std::uint64_t next;       // the first event that it lacks
  std::string_view answer;  // how the peer ended the handshake
  std::string_view tail;    // what it sent last, with at least one whole event if there was any
};

// How to talk to one kind of peer: what subscribers and publishers say, and how answers to
// publishes are counted. Events need nothing of it: they are found by their text. Thread:
// immutable.
class Peer {
 public:
  virtual ~Peer() = default;

  virtual std::vector<Step> subscribe(std::uint64_t number, Start start) const = 0;
  // Empty: this peer cannot resume.
  virtual std::vector<Step> resume(std::uint64_t number, const Seen& seen) const = 0;
  virtual std::vector<Step> begin_publishing(std::uint64_t number) const = 0;
  // Appends what publisher `number` sends for an event.
  virtual void publish(std::string& out, std::uint64_t number, std::string_view event) const = 0;
  // How many publishes `bytes` acknowledges, which may begin and end anywhere; 0 when the peer has
  // no acknowledgements. kInternal: an error of the peer.
  virtual Result<std::uint64_t> acknowledged(std::string_view bytes) const = 0;
};

// nchan, nats, jetstream, redis (PUBLISH, and a WebSocket server that repeats it), redis-streams
// (XADD, and a WebSocket server that reads) or socketio; nothing for another name.
std::unique_ptr<Peer> make_peer(std::string_view name);
std::vector<std::string> peer_names();

}  // namespace tidegate::load
