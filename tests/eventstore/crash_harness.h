#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "eventstore/event_store.h"
#include "tests/support/simulated_disk.h"

namespace tidegate::test {

// A store under load on a machine whose power is cut, over several lives, and the judgement of what
// is found afterwards:
//
// - the recovered log holds everything that was acknowledged as synced, and everything that anybody
//   could see, at the same sequence and with the same chain;
// - it is a prefix of what was written: an acknowledged event below the recovered head is there,
//   buffered ones too, and what was recovered once stays for good;
// - requests are there wholly or not at all, refused ones never, no event twice, those of one
//   publisher in the order in which it sent them;
// - a synced refusal ("the stream is there already") is not contradicted;
// - cursors stand at or above what was told as acknowledged, and not above the head; the floor
//   likewise;
// - no answer comes after a sync has failed.
//
// Thread: caller serialises; it starts and joins its own.
class CrashHarness {
 public:
  struct Options {
    std::uint64_t seed = 1;
    bool trims = false;
    bool unsafe_answer_before_sync = false;
    std::uint64_t fail_sync_at = 0;  // the n-th sync of a write-ahead log in a life, 0: none
  };
  explicit CrashHarness(const Options& options);
  ~CrashHarness();
  CrashHarness(const CrashHarness&) = delete;
  CrashHarness& operator=(const CrashHarness&) = delete;

  // One life: opens, loads, and cuts at the given change of the disk, or at the end.
  void live(std::uint64_t cut_at, SimulatedDisk::Cut kind);
  // Restarts the machine, opens and judges. One sentence per problem.
  std::vector<std::string> judge();

  // What the run did, to show that it did something.
  struct Counts {
    std::size_t acknowledged = 0;
    std::size_t refused = 0;
    std::size_t unknown = 0;
    std::size_t recovered = 0;
    std::size_t fatal = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class Outcome { kUnknown, kAcknowledged, kRefused };
  struct Attempt {
    unsigned publisher = 0;
    std::vector<std::string> ids;
    std::vector<std::string> streams;
    bool repeats = false;  // its ids are sent more than once
    std::string absent;    // stream that it wanted to be absent
    Durability durability = Durability::kSynced;
    Outcome outcome = Outcome::kUnknown;
    Code refusal = Code::kInternal;
    AppendResult result;
  };
  struct CursorTrack {
    Sequence told = 0;
    Sequence asked = 0;
  };
  struct Found;

  int open();
  void publisher(unsigned number, std::uint64_t seed);
  AppendRequest make_attempt(unsigned number, std::mt19937_64& random, std::size_t serial);
  void answered(std::size_t index, Result<AppendResult> result);
  void acknowledge_cursor();
  void look_at_head(const EventStore& store);
  void judge_attempt(const Attempt& attempt, const Found& found,
                     std::vector<std::string>& problems) const;
  void judge_order(const Found& found, std::vector<std::string>& problems) const;
  void judge_places(const Found& found, std::vector<std::string>& problems);
  void settle(const Found& found);

  const Options options_;
  std::mt19937_64 random_;
  std::shared_ptr<SimulatedDisk> disk_;
  std::unique_ptr<EventStore> store_;
  unsigned life_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Under mutex_ while a life goes on.
  std::vector<Attempt> attempts_;
  std::size_t in_flight_[2] = {};
  bool failed_ = false;
  std::vector<std::string> problems_;
  Head visible_;
  CursorTrack cursor_;
  Sequence floor_told_ = 1;
  Sequence floor_asked_ = 1;
  // What was found after the last life: id by sequence. It may only grow, but for the trimmed part.
  std::map<Sequence, std::string> firm_;
  Counts counts_;
};

}  // namespace tidegate::test
