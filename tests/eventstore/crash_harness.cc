#include "tests/eventstore/crash_harness.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "tests/support/event_builder.h"
#include "tests/support/invariants.h"
#include "tests/support/store_reading.h"
#include "tests/support/unsynced_loss_fs.h"

namespace tidegate::test {
namespace {

constexpr std::size_t kRequestsPerLife = 60;  // of each of two publishers
constexpr std::size_t kInFlightMax = 8;
constexpr std::chrono::seconds kAnswerDeadline{30};

}  // namespace

// The recovered log, arranged for questions.
struct CrashHarness::Found {
  std::vector<LoggedEvent> events;
  std::map<std::string, Sequence> by_id;
  Sequence floor = 1;
  Sequence head = 0;

  bool has(const std::string& id) const { return by_id.contains(id); }
};

CrashHarness::CrashHarness(const Options& options)
    : options_(options),
      random_(options.seed),
      disk_(std::make_shared<SimulatedDisk>(options.seed * 31)) {}

CrashHarness::~CrashHarness() = default;

int CrashHarness::open() {
  StoreOptions options;
  options.dir = "/data";
  options.ballast_bytes = 0;
  options.tail_bytes_max = std::size_t{64} << 10;
  options.chunk_cache_bytes_max = std::size_t{64} << 10;
  options.dedupe_events = 1 << 14;
  options.file_system = file_system_of(disk_);
  options.free_bytes = [](const std::string&) { return std::uint64_t{1} << 40; };
  options.unsafe_answer_before_sync = options_.unsafe_answer_before_sync;
  options.on_fatal = [this](const std::string&) {
    const std::lock_guard lock(mutex_);
    if (failed_) problems_.push_back("on_fatal was called twice");
    failed_ = true;
    ++counts_.fatal;
    changed_.notify_all();
  };
  auto opened = EventStore::open(options);
  if (const auto* error = std::get_if<EventStore::OpenError>(&opened)) {
    const std::lock_guard lock(mutex_);
    problems_.push_back(fmt::format("open: exit {}, {}", error->exit_code, error->error.message));
    return error->exit_code;
  }
  store_ = std::move(std::get<0>(opened));
  return 0;
}

void CrashHarness::live(std::uint64_t cut_at, SimulatedDisk::Cut kind) {
  ++life_;
  failed_ = false;
  in_flight_[0] = in_flight_[1] = 0;
  disk_->cut_at(cut_at, kind);
  if (open() != 0) {
    // A cut while opening is no problem; a refusal by a living machine is one.
    if (disk_->is_off()) problems_.clear();
    return;
  }
  if (options_.fail_sync_at > 0) disk_->fail_sync(options_.fail_sync_at, ".log");
  // The store still tells while it is closed.
  const auto watch = store_->on_head_moved([this, store = store_.get()] { look_at_head(*store); });
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 2; ++number) {
    threads.emplace_back([this, number, seed = random_()] { publisher(number, seed); });
  }
  for (std::thread& thread : threads) thread.join();
  disk_->cut(kind);
  store_.reset();
}

AppendRequest CrashHarness::make_attempt(unsigned number, std::mt19937_64& random,
                                         std::size_t serial) {
  AppendRequest request;
  Attempt attempt;
  attempt.publisher = number;
  const std::lock_guard lock(mutex_);
  const auto kind = random() % 10;
  if (kind == 0 && !attempts_.empty()) {
    Attempt& earlier = attempts_[random() % attempts_.size()];
    attempt.repeats = true;
    // If that one is refused yet, it may be this one that brings its events in.
    if (earlier.outcome != Outcome::kAcknowledged) earlier.repeats = true;
    attempt.ids = earlier.ids;
    attempt.streams = earlier.streams;
  } else {
    const std::size_t count = 1 + random() % 6;
    for (std::size_t i = 0; i < count; ++i) {
      attempt.ids.push_back(fmt::format("{}-{}-{}-{}", number, life_, serial, i));
      attempt.streams.push_back("s." + std::to_string(random() % 5));
    }
    // A stream of few, so that both publishers meet on it.
    if (kind <= 3) {
      attempt.streams.front() = fmt::format("once.{}-{}", life_, random() % 20);
      attempt.absent = attempt.streams.front();
      request.checks = {{attempt.absent, Check::Kind::kAbsent, 0}};
    }
  }
  for (std::size_t i = 0; i < attempt.ids.size(); ++i) {
    request.events.push_back(make_event(attempt.streams[i], attempt.ids[i]));
  }
  // The same id with other content, within a request: always refused.
  if (kind == 4) {
    EventBuilder other{.id = attempt.ids.front(), .stream = attempt.streams.front()};
    other.data = "other";
    request.events.push_back(other.build());
  }
  attempt.durability = random() % 4 == 0 ? Durability::kBuffered : Durability::kSynced;
  request.durability = attempt.durability;
  request.done = [this, index = attempts_.size()](Result<AppendResult> result) {
    answered(index, std::move(result));
  };
  attempts_.push_back(std::move(attempt));
  return request;
}

void CrashHarness::publisher(unsigned number, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::size_t serial = 0; serial < kRequestsPerLife; ++serial) {
    AppendRequest request = make_attempt(number, random, serial);
    {
      std::unique_lock lock(mutex_);
      ++in_flight_[number];
    }
    if (!store_->append(request)) return;
    if (number == 0 && random() % 8 == 0) acknowledge_cursor();
    if (options_.trims && number == 1 && random() % 16 == 0) {
      const Sequence before = store_->tail().head() / 2 + 1;
      {
        const std::lock_guard lock(mutex_);
        floor_asked_ = std::max(floor_asked_, before);
      }
      const auto floor = store_->trim(before);
      const std::lock_guard lock(mutex_);
      if (floor) floor_told_ = std::max(floor_told_, *floor);
    }
    std::unique_lock lock(mutex_);
    const bool went_on = changed_.wait_for(
        lock, kAnswerDeadline, [&] { return in_flight_[number] < kInFlightMax || failed_; });
    if (!went_on) problems_.push_back("neither an answer nor a failure");
    if (failed_ || !went_on) return;
  }
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kAnswerDeadline,
                         [&] { return in_flight_[number] == 0 || failed_; })) {
    problems_.push_back("neither all answers nor a failure");
  }
}

void CrashHarness::answered(std::size_t index, Result<AppendResult> result) {
  const std::lock_guard lock(mutex_);
  // When the power is cut, the indexer may meet it while a group that is on disk is being answered.
  if (failed_ && options_.fail_sync_at > 0) {
    problems_.push_back("an answer came after the log had failed");
  }
  Attempt& attempt = attempts_[index];
  if (attempt.outcome != Outcome::kUnknown) problems_.push_back("a request was answered twice");
  if (result) {
    attempt.outcome = Outcome::kAcknowledged;
    attempt.result = *std::move(result);
    ++counts_.acknowledged;
  } else {
    attempt.outcome = Outcome::kRefused;
    attempt.refusal = result.error().code;
    ++counts_.refused;
    if (attempt.refusal != Code::kCheckFailed && attempt.refusal != Code::kDuplicateId) {
      // Draining and the like promise "not stored" as well; anything else does not.
      if (attempt.refusal == Code::kOutcomeUnknown) attempt.outcome = Outcome::kUnknown;
    }
  }
  --in_flight_[attempt.publisher];
  changed_.notify_all();
}

void CrashHarness::acknowledge_cursor() {
  const auto opened = store_->cursors().open("ann", "c", [] {});
  if (!opened) return;
  const Head head = store_->tail().durable_head();
  {
    const std::lock_guard lock(mutex_);
    cursor_.asked = std::max(cursor_.asked, head.sequence);
  }
  store_->cursors().acknowledge("ann", "c", opened->generation,
                                Position::at(store_->log_id(), head.sequence, head.chain),
                                [this](const Position& position) {
                                  const std::lock_guard lock(mutex_);
                                  cursor_.told = std::max(cursor_.told, position.sequence);
                                });
}

void CrashHarness::look_at_head(const EventStore& store) {
  const Head head = store.tail().durable_head();
  const std::lock_guard lock(mutex_);
  visible_ = head;
}

std::vector<std::string> CrashHarness::judge() {
  disk_->restart();
  failed_ = false;
  std::vector<std::string> problems = std::exchange(problems_, {});
  if (open() != 0) {
    problems.insert(problems.end(), problems_.begin(), problems_.end());
    return problems;
  }
  Found found;
  const auto events = read_log(*store_);
  if (!events) return {"cannot read the recovered log: " + events.error().message};
  found.events = *events;
  found.floor = store_->floor();
  found.head = store_->tail().head();
  for (const LoggedEvent& event : found.events) {
    const std::string id = id_of(event.event);
    if (!found.by_id.emplace(id, event.sequence).second) problems.push_back(id + " is there twice");
  }
  counts_.recovered = found.events.size();
  for (const Attempt& attempt : attempts_) judge_attempt(attempt, found, problems);
  judge_order(found, problems);
  judge_places(found, problems);
  for (const std::string& problem : check_invariants(*store_, {"ann"})) problems.push_back(problem);
  settle(found);
  store_.reset();
  disk_->restart();
  return problems;
}

void CrashHarness::judge_attempt(const Attempt& attempt, const Found& found,
                                 std::vector<std::string>& problems) const {
  std::size_t present = 0;
  std::size_t trimmed = 0;
  for (std::size_t i = 0; i < attempt.ids.size(); ++i) {
    const std::string& id = attempt.ids[i];
    present += found.has(id) ? 1 : 0;
    if (attempt.outcome != Outcome::kAcknowledged) continue;
    const Appended& told = attempt.result.events[i];
    if (told.sequence < found.floor) {
      ++trimmed;
      continue;
    }
    const bool below_head = told.sequence <= found.head;
    if (attempt.durability == Durability::kSynced || below_head) {
      if (!found.has(id)) {
        problems.push_back(fmt::format("lost: {} was acknowledged at {} and is not there (head {})",
                                       id, told.sequence, found.head));
      } else if (found.by_id.at(id) != told.sequence) {
        problems.push_back(fmt::format("moved: {} was acknowledged at {} and is at {}", id,
                                       told.sequence, found.by_id.at(id)));
      }
    }
  }
  if (attempt.repeats) return;
  if (attempt.outcome == Outcome::kRefused && present > 0) {
    problems.push_back("refused, but there: " + attempt.ids.front());
  }
  const bool may_be_trimmed = trimmed > 0 || found.floor > 1;
  if (present != 0 && present != attempt.ids.size() && !may_be_trimmed) {
    problems.push_back("there in part: " + attempt.ids.front());
  }
  const bool contradicted =
      attempt.outcome == Outcome::kRefused && attempt.refusal == Code::kCheckFailed &&
      attempt.durability == Durability::kSynced && !store_->stream_info(attempt.absent);
  if (contradicted)
    problems.push_back("refused because of a stream that is not there: " + attempt.absent);
}

void CrashHarness::judge_order(const Found& found, std::vector<std::string>& problems) const {
  Sequence last[2] = {};
  for (const Attempt& attempt : attempts_) {
    if (attempt.repeats) continue;
    for (const std::string& id : attempt.ids) {
      const auto it = found.by_id.find(id);
      if (it == found.by_id.end()) continue;
      if (it->second <= last[attempt.publisher])
        problems.push_back("out of its publisher's order: " + id);
      last[attempt.publisher] = it->second;
    }
  }
  for (const auto& [sequence, id] : firm_) {
    if (sequence < found.floor) continue;
    const auto it = found.by_id.find(id);
    if (it == found.by_id.end() || it->second != sequence) {
      problems.push_back(
          fmt::format("{} was recovered at {} in an earlier life and is not there", id, sequence));
    }
  }
  for (const auto& [id, sequence] : found.by_id) {
    const bool known =
        firm_.contains(sequence) ||
        std::any_of(attempts_.begin(), attempts_.end(), [&, &wanted = id](const Attempt& attempt) {
          return std::find(attempt.ids.begin(), attempt.ids.end(), wanted) != attempt.ids.end();
        });
    if (!known) problems.push_back("nobody sent " + id);
  }
}

void CrashHarness::judge_places(const Found& found, std::vector<std::string>& problems) {
  if (visible_.sequence > found.head) {
    problems.push_back(
        fmt::format("lost: {} was visible, the head is {}", visible_.sequence, found.head));
  } else if (visible_.sequence >= found.floor) {
    if (found.events[visible_.sequence - found.floor].chain != visible_.chain) {
      problems.push_back("another event stands where one was visible");
    }
  }
  if (found.floor < floor_told_ || found.floor > floor_asked_) {
    problems.push_back(
        fmt::format("the floor is {}, told {}, asked {}", found.floor, floor_told_, floor_asked_));
  }
  const auto cursor = store_->cursors().find("ann", "c");
  if (!cursor) {
    problems.push_back("cursor: " + cursor.error().message);
    return;
  }
  const Sequence at = *cursor ? (*cursor)->position.sequence : 0;
  if (at < cursor_.told)
    problems.push_back(fmt::format("lost: the cursor was told {} and is at {}", cursor_.told, at));
  if (at > cursor_.asked)
    problems.push_back(fmt::format("the cursor is at {}, above what was asked", at));
}

// What is there stays; what is not will never be.
void CrashHarness::settle(const Found& found) {
  for (const Attempt& attempt : attempts_)
    counts_.unknown += attempt.outcome == Outcome::kUnknown ? 1 : 0;
  attempts_.clear();
  firm_.clear();
  for (const auto& [id, sequence] : found.by_id) firm_[sequence] = id;
  visible_ = store_->tail().durable_head();
  floor_asked_ = std::max(floor_asked_, found.floor);
}

}  // namespace tidegate::test
