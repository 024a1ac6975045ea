#include "gateway/ops/presence_log.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <random>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "eventstore/base/text.h"
#include "eventstore/event_store.h"
#include "eventstore/filter.h"
#include "gateway/cloudevents/cloud_event.h"
#include "projections/engine.h"

namespace tidegate {
namespace {

constexpr std::string_view kPresenceStream = "_sys.presence";
constexpr std::string_view kPresenceProjection = "_presence";
constexpr std::size_t kChangesPerRequest = 500;
// Of the patterns and types of one subscription: a row with as many as a connection may have stays
// below what a document may have (256 KiB), or the projection would stop at it.
constexpr std::size_t kFilterBytesMax = 1024;
constexpr std::int64_t kReportEveryMs = 60'000;
constexpr std::chrono::seconds kTryAgain{1};
constexpr std::chrono::seconds kEndPatience{5};

std::string random_run() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::random_device random;
  std::string run(8, ' ');
  for (char& letter : run) letter = kLetters[random() % kLetters.size()];
  return run;
}

std::string presence_string(std::string_view text) {
  std::string quoted;
  append_json_string(quoted, text);
  return quoted;
}

// "[..]" of the texts for which there is room, or "null" when there are none; counts the others.
template <typename Texts, typename TextOf>
std::string presence_list(const Texts& texts, const TextOf& text_of, std::size_t& room,
                          std::size_t& left_out) {
  if (texts.empty()) return "null";
  std::string list = "[";
  for (const auto& each : texts) {
    const std::string quoted = presence_string(text_of(each));
    if (quoted.size() >= room) {
      ++left_out;
      continue;
    }
    room -= quoted.size() + 1;
    if (list.size() > 1) list += ',';
    list += quoted;
  }
  return list + "]";
}

// A merge patch: null takes out what an earlier filter had.
std::string presence_filter(const Filter& filter) {
  std::size_t room = kFilterBytesMax;
  std::size_t left_out = 0;
  const auto of_pattern = [](const Pattern& pattern) -> const std::string& {
    return pattern.text();
  };
  const auto of_type = [](const std::string& type) -> const std::string& { return type; };
  const std::string streams = presence_list(filter.patterns(), of_pattern, room, left_out);
  const std::string types = presence_list(filter.types(), of_type, room, left_out);
  return fmt::format(R"({{"streams":{},"types":{},"left_out":{}}})", streams, types,
                     left_out == 0 ? "null" : fmt::format("{}", left_out));
}

// Waits for the answer to a query; the projection answers in time, or says why not.
Result<RowPage> ask_for_rows(Engine& engine, RowQuery query) {
  const auto answer = std::make_shared<std::promise<Result<RowPage>>>();
  auto page = answer->get_future();
  engine.query(std::move(query),
               [answer](Result<RowPage> rows) { answer->set_value(std::move(rows)); });
  return page.get();
}

}  // namespace

struct PresenceLog::Change {
  std::string type;
  std::int64_t time_us = 0;
  std::string connection;
  std::string id;    // of a subscription or watch
  std::string data;  // JSON without its last brace

  std::size_t bytes() const {
    return sizeof(Change) + type.size() + connection.size() + id.size() + data.size();
  }
};

// What waits for the log, and whose beginning was taken: only their ends are.
class PresenceLog::Queue {
 public:
  void begin_connection(Change change) {
    const std::lock_guard lock(mutex_);
    if (!has_room()) return leave_out();
    known_.try_emplace(change.connection);
    put(std::move(change));
  }
  void end_connection(Change change) {
    const std::lock_guard lock(mutex_);
    if (known_.erase(change.connection) > 0) put(std::move(change));
  }
  void begin_reading(Change change) {
    const std::lock_guard lock(mutex_);
    const auto at = known_.find(change.connection);
    if (at == known_.end() || !has_room()) return leave_out();
    at->second.insert(change.id);
    put(std::move(change));
  }
  void end_reading(Change change) {
    const std::lock_guard lock(mutex_);
    const auto at = known_.find(change.connection);
    if (at != known_.end() && at->second.erase(change.id) > 0) put(std::move(change));
  }
  // Of a former run.
  void end_former(Change change) {
    const std::lock_guard lock(mutex_);
    put(std::move(change));
  }

  struct Taken {
    std::vector<Change> changes;
    bool is_last = false;
  };
  // Waits for changes, for a second at most if it `looks_back`.
  Taken take(bool looks_back) {
    std::unique_lock lock(mutex_);
    const auto is_due = [this] { return !changes_.empty() || gives_up_at_; };
    if (looks_back) {
      moved_.wait_for(lock, kTryAgain, is_due);
    } else {
      moved_.wait(lock, is_due);
    }
    return {std::exchange(changes_, {}), gives_up_at_.has_value()};
  }
  // So many of those that were taken are in the log, or given up.
  void note_done(std::span<const Change> done) {
    const std::lock_guard lock(mutex_);
    waiting_ -= done.size();
    for (const Change& change : done) bytes_ -= change.bytes();
  }
  void note_room() {
    const std::lock_guard lock(mutex_);
    waits_for_room_ = false;
    moved_.notify_all();
  }
  // True once for each `note_room`.
  bool begin_wait_for_room() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(waits_for_room_, true);
  }
  // Until there is room, or it is worth another try. False when it is time to give up.
  bool wait_for_room(bool is_told) {
    std::unique_lock lock(mutex_);
    const auto again = std::chrono::steady_clock::now() + kTryAgain;
    const auto end = [&] { return gives_up_at_ ? std::min(again, *gives_up_at_) : again; };
    while (!(is_told && !waits_for_room_) && std::chrono::steady_clock::now() < end())
      moved_.wait_until(lock, end());
    return !is_over();
  }
  // Time to give up.
  bool has_ended() const {
    const std::lock_guard lock(mutex_);
    return is_over();
  }
  bool is_ending() const {
    const std::lock_guard lock(mutex_);
    return gives_up_at_.has_value();
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    gives_up_at_ = std::chrono::steady_clock::now() + kEndPatience;
    moved_.notify_all();
  }

  std::uint64_t left_out() const {
    const std::lock_guard lock(mutex_);
    return left_out_;
  }

 private:
  bool has_room() const { return waiting_ < kChangesMax && bytes_ < kBytesMax; }
  bool is_over() const { return gives_up_at_ && std::chrono::steady_clock::now() >= *gives_up_at_; }
  void leave_out() { ++left_out_; }
  void put(Change change) {
    ++waiting_;
    bytes_ += change.bytes();
    changes_.push_back(std::move(change));
    moved_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable moved_;
  // All under mutex_.
  std::vector<Change> changes_;  // that were not taken
  std::size_t waiting_ = 0;      // taken or not
  std::size_t bytes_ = 0;        // of these
  std::unordered_map<std::string, std::unordered_set<std::string>> known_;
  std::uint64_t left_out_ = 0;
  bool waits_for_room_ = false;
  std::optional<std::chrono::steady_clock::time_point> gives_up_at_;  // set: it ends
};

PresenceLog::PresenceLog(EventStore& store, Engine* engine, const Clock& clock)
    : store_(store),
      engine_(engine),
      clock_(clock),
      run_(random_run()),
      head_at_start_(store.tail().head()),
      is_former_ended_(engine == nullptr),
      started_ms_(clock.steady_ms()),
      report_at_ms_(started_ms_),
      queue_(std::make_shared<Queue>()),
      thread_([this] { run(); }) {}

PresenceLog::~PresenceLog() {
  queue_->stop();
  thread_.join();
}

// --------------------------------------------------------------------------- what sessions tell

std::string PresenceLog::name_of(std::string_view connection) const {
  return fmt::format("{}-{}", run_, connection);
}

PresenceLog::Change PresenceLog::change(std::string_view type, std::string connection) const {
  Change made;
  made.type = type;
  made.time_us = clock_.wall_us();
  made.connection = std::move(connection);
  made.data = R"({"connection":)" + presence_string(made.connection);
  return made;
}

PresenceLog::Change PresenceLog::reading(std::string_view type, std::string_view connection,
                                         std::string_view member, std::string_view id,
                                         std::string_view value) const {
  Change made = change(type, name_of(connection));
  made.id = id;
  made.data += fmt::format(R"(,"{}":{{{}:{}}})", member, presence_string(id), value);
  return made;
}

void PresenceLog::connected(std::string_view connection, std::string_view subject,
                            std::string_view surface) {
  Change made = change("presence.connected", name_of(connection));
  made.data += fmt::format(R"(,"subject":{},"surface":{})", presence_string(subject),
                           presence_string(surface));
  queue_->begin_connection(std::move(made));
}

void PresenceLog::subscribed(std::string_view connection, std::string_view id,
                             const Filter& filter) {
  queue_->begin_reading(
      reading("presence.subscribed", connection, "subscriptions", id, presence_filter(filter)));
}

void PresenceLog::unsubscribed(std::string_view connection, std::string_view id) {
  queue_->end_reading(reading("presence.unsubscribed", connection, "subscriptions", id, "null"));
}

void PresenceLog::watching(std::string_view connection, std::string_view id,
                           std::string_view projection) {
  queue_->begin_reading(
      reading("presence.watching", connection, "watches", id, presence_string(projection)));
}

void PresenceLog::unwatched(std::string_view connection, std::string_view id) {
  queue_->end_reading(reading("presence.unwatched", connection, "watches", id, "null"));
}

void PresenceLog::disconnected(std::string_view connection) {
  queue_->end_connection(change("presence.disconnected", name_of(connection)));
}

std::uint64_t PresenceLog::left_out() const {
  return queue_->left_out();
}

// ------------------------------------------------------------------------------- into the log

void PresenceLog::run() {
  pthread_setname_np(pthread_self(), "presence");
  while (true) {
    const Queue::Taken taken = queue_->take(!is_former_ended_);
    append_all(taken.changes);
    if (taken.is_last) return report("the log did not keep up", true);
    if (is_former_ended_) {
      report("the log did not keep up");
    } else if (const Status ended = end_former(); !ended) {
      report(ended.error().message);
    }
  }
}

// What an operator should know, at most once a minute unless it is the last word.
void PresenceLog::report(std::string_view reason, bool is_last) {
  const std::int64_t now_ms = clock_.steady_ms();
  const std::uint64_t left_out = queue_->left_out() - reported_;
  const bool is_late = !is_former_ended_ && now_ms >= started_ms_ + kReportEveryMs;
  if ((left_out == 0 && !is_late) || (now_ms < report_at_ms_ && !is_last)) return;
  report_at_ms_ = now_ms + kReportEveryMs;
  reported_ += left_out;
  log(LogLevel::kWarn,
      is_late ? "_presence may show connections of an earlier run"
              : "changes of presence were left out",
      {{"reason", reason}, {"left_out", left_out}});
}

// An error when the projection has not folded what was there at the start.
Status PresenceLog::end_former() {
  RowQuery query;
  query.projection = kPresenceProjection;
  query.min_sequence = head_at_start_;
  std::vector<Change> left;
  do {
    const auto page = ask_for_rows(*engine_, query);
    if (!page) return page.error();
    for (const Row& row : page->rows) {
      if (!row.key.starts_with(run_)) left.push_back(change("presence.disconnected", row.key));
    }
    query.after = page->next;
  } while (query.after);
  is_former_ended_ = true;
  for (Change& each : left) queue_->end_former(std::move(each));
  return {};
}

Result<NewEvent> PresenceLog::to_event(const Change& change, std::uint64_t number) const {
  v1::CloudEvent event;
  event.set_id(fmt::format("{}-{}", run_, number));
  event.set_source("/tidegate");
  event.set_type(change.type);
  auto& attributes = *event.mutable_attributes();
  attributes["datacontenttype"].set_ce_string("application/json");
  google::protobuf::Timestamp& time = *attributes["time"].mutable_ce_timestamp();
  time.set_seconds(change.time_us / 1'000'000);
  time.set_nanos(static_cast<std::int32_t>(change.time_us % 1'000'000 * 1000));
  event.set_text_data(change.data + "}");
  // Nobody publishes to reserved streams, so it refuses their names: ours is put in afterwards.
  auto made = make_new_event("presence", event);
  if (made) made->stream = kPresenceStream;
  return made;
}

void PresenceLog::append_all(const std::vector<Change>& changes) {
  std::span<const Change> left = changes;
  while (!left.empty()) {
    AppendRequest request;
    request.durability = Durability::kBuffered;
    const auto next = left.first(std::min(left.size(), kChangesPerRequest));
    for (const Change& each : next) {
      auto event = to_event(each, ++next_id_);
      if (event) {
        request.events.push_back(*std::move(event));
      } else {
        log(LogLevel::kError, "a change of presence makes no event",
            {{"reason", event.error().message}});
      }
    }
    left = left.subspan(next.size());
    const bool is_over = !request.events.empty() && !append(request);
    queue_->note_done(next);
    if (is_over) {
      log(LogLevel::kWarn,
          "the log takes no more: the end of connections is told at the next start");
      return;
    }
  }
}

// A request that is tried again is the same one, so that the log knows what it has of it.
bool PresenceLog::append(const AppendRequest& request) {
  while (true) {
    const Status appended = try_append(request);
    if (appended) return true;
    const Code code = appended.error().code;
    if (!code_info(code).retryable) {
      log(LogLevel::kError, "changes of presence are not for this log",
          {{"reason", appended.error().message}});
      return true;
    }
    const bool is_full = code == Code::kOverloaded;
    if (!is_full && code != Code::kDiskLow && queue_->is_ending()) return false;
    report(appended.error().message);
    // Outside of the lock: it may be told at once.
    if (is_full && queue_->begin_wait_for_room()) {
      store_.when_room([queue = queue_] { queue->note_room(); });
    }
    if (!queue_->wait_for_room(is_full)) return false;
  }
}

// Waits for the answer, until it is time to give up.
Status PresenceLog::try_append(AppendRequest request) {
  const auto answer = std::make_shared<std::promise<Status>>();
  auto answered = answer->get_future();
  request.done = [answer](const Result<AppendResult>& appended) {
    answer->set_value(appended ? Status() : Status(appended.error()));
  };
  if (Status queued = store_.append(request); !queued) return queued;
  while (answered.wait_for(kTryAgain) != std::future_status::ready) {
    if (queue_->has_ended()) return Error{Code::kUnavailable, "the log does not answer"};
  }
  return answered.get();
}

}  // namespace tidegate
