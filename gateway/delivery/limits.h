#pragma once

#include <cstddef>
#include <cstdint>

#include "eventstore/append.h"
#include "eventstore/filter.h"

namespace tidegate {

// Limits and times of a session; the one table that `welcome` and docs/protocol.md show.
// Thread: immutable.
struct SessionLimits {
  std::size_t event_bytes = kEventBytesMax;
  // Of one incoming message: with and without the permission to publish.
  std::size_t message_bytes_publisher = 1 << 20;
  std::size_t message_bytes = 64 << 10;
  std::size_t message_bytes_of(bool may_publish) const {
    return may_publish ? message_bytes_publisher : message_bytes;
  }
  std::uint32_t subscriptions = 128;  // and watches, together
  std::uint32_t patterns = kPatternsMax;
  std::uint32_t types = kTypesMax;
  std::uint32_t window_max = 10'000;
  std::uint32_t last_max = 10'000;
  std::size_t id_bytes = 64;
  // Token bucket of incoming messages; acknowledgements, pongs and permitted publishes are exempt.
  std::uint32_t messages_per_second = 50;
  std::uint32_t messages_burst = 100;
  // Of the same messages; a full set of subscriptions can be made at once.
  std::uint32_t message_bytes_per_second = 64 << 10;
  std::uint32_t message_bytes_burst = 2 << 20;
  std::uint32_t bad_messages = 3;  // the third closes with 4400
  std::uint32_t publishes_in_flight = 64;
  std::uint32_t queries_in_flight = 16;
  // Rows of a `query_result`: at most, and when the peer does not say. Its bytes: `batch_bytes`, or
  // one row.
  std::uint32_t query_rows_max = 1000;
  std::uint32_t query_rows = 100;
  std::uint32_t query_wait_ms_max = 60'000;
  // Of the keys that the watches and the snapshots of a connection name, together.
  std::size_t selected_bytes = 1 << 20;
  // One outgoing message. Runs are of events that lie side by side in memory; with what is around
  // them they are the pieces that the transport hands over in one call.
  std::size_t batch_events = 256;
  std::size_t batch_runs = 60;
  std::size_t batch_bytes = 64 << 10;
  // Answers that wait for the socket. Above it the peer's messages are not read.
  std::size_t outbox_bytes = 256 << 10;

  std::int64_t heartbeat_ms =
      25'000;  // a `ping` message after this much silence; also the WebSocket ping interval
  std::int64_t pong_ms = 10'000;  // answer to a WebSocket ping
  std::int64_t position_ms =
      5'000;  // a `position` when nothing matched for this long and the place has moved, or up to
              // 3 s longer where ten thousand wait for theirs (LoopCore::wake_resting)
  std::int64_t no_progress_ms = 30'000;  // a write that does not move for this long: 4408
};

}  // namespace tidegate
