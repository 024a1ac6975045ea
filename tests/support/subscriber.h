#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/heard.h"
#include "tests/support/history_checker.h"

namespace tidegate::test {

// One WebSocket subscription that goes on over many connections: it drops them with a reset in the
// middle of a message, resumes, and keeps all it was told. Sans thread: its owner polls the socket
// and calls in. Thread: caller serialises.
class Subscriber {
 public:
  struct Options {
    std::string name = {};  // of the cursor, too
    std::vector<std::string> streams = {};
    std::vector<std::string> types = {};
    bool is_binary = false;
    Resume resume = Resume::kPosition;
    // A connection lives for a random time between these; 0: until the peer ends it.
    int life_min_ms = 0;
    int life_max_ms = 0;
    // Now and then it does not read for up to so long.
    int pause_max_ms = 0;
    // An acknowledgement every so many messages with events (by cursor only).
    int ack_every = 3;
    std::uint32_t window = 0;
    // Sent with each connection; empty: none. With one, `forbidden` is an answer that counts, and
    // it asks no more.
    std::string token = {};
    std::uint64_t seed = 1;
  };
  // `address` is asked before each connection, on the owner's thread.
  Subscriber(Options options, std::function<std::string()> address);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  // What the owner is to wait for: readability of `fd` (below 0: nothing), and at the latest this
  // time for tick().
  int fd() const { return is_paused_ ? -1 : fd_; }
  std::int64_t next_tick_ns() const;
  void on_readable();
  void tick(std::int64_t now_ns);

  // Ends the random drops and pauses, so that it can reach the head.
  void settle();
  // What it was told last on this connection; beyond every place once it was forbidden.
  Sequence place() const { return is_forbidden_ ? UINT64_MAX : place_; }
  bool is_forbidden() const { return is_forbidden_; }
  std::uint64_t connections() const { return connections_; }
  std::uint64_t cuts_within_message() const { return cuts_within_message_; }
  const SubscriberHistory& history() const { return history_; }

 private:
  void connect(std::int64_t now_ns);
  bool shake_hands(const std::string& address);
  void subscribe();
  void send(std::string_view payload);
  void acknowledge();
  void cut();
  void disconnect();
  bool receive(std::size_t bytes_max);
  void take_frames();
  void take_message(std::string_view message);
  void hear(const Heard& heard);
  void note(DeliveryRecord::Kind kind, Sequence sequence, std::uint64_t hash = 0);
  std::int64_t below(std::int64_t n) {
    return n <= 0 ? 0 : static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n));
  }

  const Options options_;
  const std::function<std::string()> address_;
  std::mt19937_64 random_;
  int fd_ = -1;
  std::string bytes_;
  std::string fragments_;
  bool is_paused_ = false;
  bool is_settled_ = false;
  bool is_forbidden_ = false;
  std::int64_t connect_at_ns_ = 0;
  std::int64_t drop_at_ns_ = INT64_MAX;
  std::size_t bytes_before_cut_ =
      0;  // above 0: the connection ends within the bytes that come next
  std::int64_t pause_at_ns_ = INT64_MAX;  // also when a pause ends
  int messages_since_ack_ = 0;
  std::uint64_t events_since_ack_ = 0;
  std::string position_;  // the application's memory: of the last message it took in
  Sequence last_event_ = 0;
  Sequence place_ = 0;
  std::uint64_t connections_ = 0;
  std::uint64_t cuts_within_message_ = 0;
  SubscriberHistory history_;
};

// Subscribers on a few threads.
// Thread: caller serialises.
class SubscriberFleet {
 public:
  SubscriberFleet(std::vector<Subscriber::Options> options, std::function<std::string()> address,
                  unsigned threads);
  // Stops.
  ~SubscriberFleet();

  // No more drops and pauses; true when all have been told a place at or above `head` in time.
  bool drain(Sequence head, int patience_ms);
  void stop();

  // After stop().
  const std::vector<std::unique_ptr<Subscriber>>& subscribers() const { return subscribers_; }

 private:
  void run(unsigned thread);

  std::vector<std::unique_ptr<Subscriber>> subscribers_;
  std::vector<std::thread> threads_;
  const unsigned thread_count_;
  std::atomic<Sequence> target_ = UINT64_MAX;  // below that: settled, and to get there
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable drained_;
  unsigned drained_threads_ = 0;
};

}  // namespace tidegate::test
