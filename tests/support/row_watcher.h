#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/projection_client.h"
#include "tests/support/session_link.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {

// One watch over a WebSocket that goes on over many connections: it drops them with a reset,
// resumes after the last place, and keeps a map of rows as a user interface would. Sans thread: its
// owner polls the socket and calls in. Thread: caller serialises.
class RowWatcher {
 public:
  struct Options {
    std::string projection = {};
    // At most one of them; neither: all rows.
    std::vector<std::string> keys = {};
    std::string prefix = {};
    bool is_binary = false;
    // A connection lives for a random time below this.
    int life_max_ms = 2000;
    std::uint64_t seed = 1;
  };
  RowWatcher(Options options, std::string http_address);

  // Below 0: not connected.
  int fd() { return client_ ? client_->socket().fd() : -1; }
  void on_readable();
  // Connects, or drops the connection when its time has come.
  void tick(std::int64_t now_ns);
  // No more drops.
  void settle() { is_settled_ = true; }

  // Whether a watch with these options holds the row.
  bool selects(std::string_view key) const;
  const HeldRows& rows() const { return rows_; }
  std::uint64_t connections() const { return connections_; }
  // Connections that went on after a place, and were not told to begin anew.
  std::uint64_t resumptions() const { return resumptions_; }
  const Options& options() const { return options_; }

 private:
  void connect(std::int64_t now_ns);
  void watch();
  void hear(const Told& told);
  void drop();

  const Options options_;
  const std::string address_;
  std::mt19937_64 random_;
  std::optional<WsClient> client_;
  bool is_settled_ = false;
  bool is_resuming_ = false;  // after a place, and nothing was told yet
  std::int64_t drop_at_ns_ = INT64_MAX;
  std::string position_;  // empty: none yet
  std::uint32_t version_ = 0;
  HeldRows rows_;
  std::uint64_t connections_ = 0;
  std::uint64_t resumptions_ = 0;
};

}  // namespace tidegate::test
