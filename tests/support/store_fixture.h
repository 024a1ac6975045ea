#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "eventstore/event_store.h"
#include "tests/support/event_builder.h"
#include "tests/support/invariants.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/store_reading.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unsynced_loss_fs.h"

namespace tidegate::test {

inline constexpr std::chrono::seconds kDeadline{30};

// Waits for `condition` with a deadline; false when it did not come true.
template <typename Condition>
bool eventually(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// Wall time stands still until a test moves it; the steady clock is the real one.
// Thread: any (internally synchronised).
class TestClock final : public Clock {
 public:
  static constexpr std::int64_t kStart = 1'700'000'000'000'000;

  std::int64_t wall_us() const override { return wall_us_; }
  std::int64_t steady_ms() const override { return system_.steady_ms(); }
  void set_wall_us(std::int64_t time_us) { wall_us_ = time_us; }
  void advance_us(std::int64_t by_us) { wall_us_ += by_us; }

 private:
  std::atomic<std::int64_t> wall_us_{kStart};
  SystemClock system_;
};

// A request whose answer can be waited for.
// Thread: caller serialises.
class PendingAppend {
 public:
  PendingAppend(std::vector<NewEvent> events, std::vector<Check> checks, Durability durability)
      : answer_(std::make_shared<std::promise<Result<AppendResult>>>()),
        future_(answer_->get_future()) {
    request_.events = std::move(events);
    request_.checks = std::move(checks);
    request_.durability = durability;
    request_.done = [answer = answer_](Result<AppendResult> result) {
      answer->set_value(std::move(result));
    };
  }

  Status queue(EventStore& store) { return store.append(request_); }
  const AppendRequest& request() const { return request_; }
  bool is_answered() const {
    return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  Result<AppendResult> wait() {
    if (future_.wait_for(kDeadline) != std::future_status::ready) {
      return Error{Code::kInternal, "no answer within the deadline"};
    }
    return future_.get();
  }

 private:
  std::shared_ptr<std::promise<Result<AppendResult>>> answer_;
  std::future<Result<AppendResult>> future_;
  AppendRequest request_;
};

// Queues a request and waits for the answer.
inline Result<AppendResult> append_and_wait(EventStore& store, std::vector<NewEvent> events,
                                            std::vector<Check> checks = {},
                                            Durability durability = Durability::kSynced) {
  PendingAppend append(std::move(events), std::move(checks), durability);
  const Status queued = append.queue(store);
  if (!queued) return queued.error();
  return append.wait();
}

// One store on a simulated disk, opened by the first verb. TearDown checks the invariants of the
// store that is open then, and that nothing fatal happened unless the test expects it.
class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    options_.dir = "/data";
    options_.ballast_bytes = 0;  // it is a real file
    options_.clock = &clock_;
    options_.free_bytes = [this](const std::string&) { return free_bytes_.load(); };
    options_.on_fatal = [this](const std::string& reason) {
      const std::lock_guard lock(mutex_);
      fatal_.push_back(reason);
    };
  }

  void TearDown() override {
    if (!store_ && opened_ && !expects_fatal_ && try_open() != 0) ADD_FAILURE() << open_error_;
    if (store_ && !expects_fatal_) {
      for (const std::string& problem : check_invariants(*store_, owners_))
        ADD_FAILURE() << problem;
    }
    store_.reset();
    if (!expects_fatal_) {
      EXPECT_EQ(fatal_reasons(), std::vector<std::string>{});
    }
  }

  // Opens, or opens again what `close` has closed.
  EventStore& open() {
    const int code = try_open();
    if (code != 0) {
      // Nothing that follows makes sense.
      fmt::print(stderr, "cannot open the store: exit code {}, {}\n", code, open_error_);
      std::abort();
    }
    return *store_;
  }
  // 0, or the exit code of a refusal; its text is in `open_error_`.
  int try_open() {
    store_.reset();
    if (disk_) options_.file_system = file_system_of(disk_);
    auto opened = EventStore::open(options_);
    if (auto* const error = std::get_if<EventStore::OpenError>(&opened)) {
      open_error_ = error->error.message;
      return error->exit_code;
    }
    store_ = std::move(std::get<0>(opened));
    opened_ = true;
    return 0;
  }
  void close() { store_.reset(); }
  EventStore& reopen() {
    close();
    return open();
  }
  EventStore& store() { return store_ ? *store_ : open(); }

  Result<AppendResult> publish(std::vector<NewEvent> events, std::vector<Check> checks = {},
                               Durability durability = Durability::kSynced) {
    return append_and_wait(store(), std::move(events), std::move(checks), durability);
  }
  // Publishes `count` new events of a stream, one request, and expects them to be taken. Returns
  // the last sequence.
  Sequence fill(const std::string& stream, std::size_t count) {
    const auto result = publish(make_events(stream, "f" + std::to_string(++fills_) + "-", count));
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result ? result->events.back().sequence : 0;
  }
  // "stream#revision id" of every event, in order.
  std::vector<std::string> contents() {
    std::vector<std::string> out;
    const auto events = read_log(store());
    EXPECT_TRUE(events) << (events ? "" : events.error().message);
    if (!events) return out;
    for (const LoggedEvent& event : *events) {
      out.push_back(fmt::format("{}#{} {}", event.stream, event.revision, id_of(event.event)));
    }
    return out;
  }
  std::vector<std::string> fatal_reasons() {
    const std::lock_guard lock(mutex_);
    return fatal_;
  }

  TestClock clock_;
  std::atomic<std::uint64_t> free_bytes_{std::uint64_t{1} << 40};
  StoreOptions options_;
  std::shared_ptr<SimulatedDisk> disk_ = std::make_shared<SimulatedDisk>(1);
  std::unique_ptr<EventStore> store_;
  std::string open_error_;
  std::vector<std::string> owners_;  // whose cursors TearDown checks
  bool expects_fatal_ = false;

 private:
  std::mutex mutex_;
  std::vector<std::string> fatal_;
  bool opened_ = false;
  std::size_t fills_ = 0;
};

// The same on a real directory, for what concerns its files.
class StoreDirTest : public StoreTest {
 protected:
  StoreDirTest() {
    disk_.reset();
    options_.dir = temp_.file("data");
    options_.ballast_bytes = 4096;
  }

  TempDir temp_;
};

}  // namespace tidegate::test
