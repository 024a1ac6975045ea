#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "eventstore/base/clock.h"
#include "eventstore/event_store.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/delivery_loop.h"
#include "gateway/delivery/limits.h"
#include "gateway/delivery/presence.h"
#include "gateway/delivery/pressure.h"
#include "gateway/delivery/probe.h"
#include "gateway/net/net_probe.h"

namespace boost::asio {
class io_context;
}

namespace tidegate {

class Connection;
class Engine;

struct IoLoopSetup {
  EventStore& store;
  const Clock& clock;
  SessionLimits limits;
  DeliveryProbe& delivery_probe;
  NetProbe& net_probe;
  const Authority& authority;
  Engine* engine = nullptr;      // null: projections are switched off
  Presence* presence = nullptr;  // null: nobody keeps it
  const PressureGauge& pressure;
  std::string server;   // name and version told in `welcome`
  unsigned number = 0;  // from 0; of metrics and connection names
};

// One thread with one io_context, on which its connections live from their first to their last
// byte, and the DeliveryLoop that serves them. Nothing on it may block.
//
// The appender wakes it at most once however many groups it commits meanwhile; one wake dispatches
// in bounded turns, so that sockets get theirs in between. Thread: `post`, `stalled_ms`,
// `connections` and `number`: any (internally synchronised); the rest: I/O loop only, or while no
// thread runs.
class IoLoop {
 public:
  explicit IoLoop(IoLoopSetup setup);
  // As `stop`.
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  // Begins the thread. To be called once.
  void start();
  // Resets what is still connected and joins the thread. Tasks that are posted later are not run.
  void stop();

  // Runs `task` on the loop, in the order of the calls; drops it when the loop has ended. The
  // mailbox has no bound of its own: whoever posts has one. The appender: one wake per loop; the
  // store's answers: what sessions may have under way (per subscription one read, one place and one
  // acknowledgement; per session 64 publishes, 16 queries, one opening per watch and one step of
  // all of them); the engine: one wake per loop; the listener: 512 new connections; a gRPC session:
  // 4 MiB of messages, then its peer is not read.
  void post(std::function<void()> task);
  // How long ago the loop's timer last ran; far above 250 when something blocks it.
  std::int64_t stalled_ms() const;
  unsigned number() const;
  // In the registry at the moment.
  std::size_t connections() const;

  // What connections need of their loop.
  boost::asio::io_context& context();
  DeliveryLoop& delivery();
  const Clock& clock() const;
  const SessionLimits& limits() const;
  NetProbe& probe();
  std::string next_connection_name();
  // Where a connection receives what it handles at once: idle ones need no buffer of their own.
  std::span<char> receive_buffer();
  // The registry owns `connection` until `forget`, which must not be called from inside `tick` or
  // `abandon`.
  void adopt(std::shared_ptr<Connection> connection);
  void forget(Connection& connection);
  // Connection::tick is called then, if not before.
  void tick_no_later(Connection& connection, std::int64_t due_ms);
  // The time at the last of its ticks, which come every 250 ms: for what need not be exact.
  std::int64_t tick_ms() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
