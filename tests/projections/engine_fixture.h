#pragma once

#include <algorithm>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "projections/engine.h"
#include "projections/row_keys.h"
#include "tests/support/store_fixture.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate::test {

using RowMap = std::map<std::string, Row>;

// Counts and sums "add" events by the second token of their stream; "drop" removes the row.
inline std::string counting(const std::string& name = "counting", const std::string& more = {}) {
  return "name = \"" + name + "\"\n" + R"(streams = ["s.>"]
key = "{stream[1]}"
[on."add"]
n = { count = true }
total = { sum = "/v" }
[on."drop"]
delete = true
)" + more;
}

// What `counting` makes of events, by other code than the fold's.
// Thread: caller serialises.
class CountingModel {
 public:
  void add(const LoggedEvent& event) {
    if (!event.stream.starts_with("s.")) return;
    const std::string key = event.stream.substr(2);
    if (event.type == "drop") {
      sums_.erase(key);
      rows_.erase(key);
    }
    if (event.type != "add") return;
    v1::CloudEvent parsed;
    parsed.ParseFromString(event.event);
    auto& [count, total] = sums_[key];
    ++count;
    total += std::stoll(parsed.text_data().substr(5));  // {"v":12}
    rows_[key] = {key, fmt::format(R"({{"n":{},"total":{}}})", count, total), event.sequence};
  }
  const RowMap& rows() const { return rows_; }

 private:
  std::map<std::string, std::pair<std::uint64_t, long long>> sums_;
  RowMap rows_;
};

// The model's rows of what is in the log, without the events of `left_out`.
inline RowMap model_of(const EventStore& store, const std::vector<Sequence>& left_out = {}) {
  CountingModel model;
  const auto events = read_log(store);
  EXPECT_TRUE(events) << (events ? "" : events.error().message);
  if (!events) return {};
  for (const LoggedEvent& event : *events) {
    if (std::find(left_out.begin(), left_out.end(), event.sequence) == left_out.end())
      model.add(event);
  }
  return model.rows();
}

inline Result<RowPage> ask(Engine& engine, RowQuery query) {
  const auto answer = std::make_shared<std::promise<Result<RowPage>>>();
  auto future = answer->get_future();
  engine.query(std::move(query),
               [answer](Result<RowPage> page) { answer->set_value(std::move(page)); });
  if (future.wait_for(kDeadline) != std::future_status::ready)
    return Error{Code::kInternal, "no answer within the deadline"};
  return future.get();
}

// All rows that reflect `min_sequence`, page by page; for a log at rest.
inline RowMap all_rows(Engine& engine, const std::string& projection, Sequence min_sequence,
                       std::uint32_t limit = 1000) {
  RowMap rows;
  RowQuery query;
  query.projection = projection;
  query.limit = limit;
  query.min_sequence = min_sequence;
  query.wait_ms = 30'000;
  do {
    const auto page = ask(engine, query);
    EXPECT_TRUE(page) << (page ? "" : page.error().message);
    if (!page) return rows;
    EXPECT_GE(page->position.sequence, min_sequence);
    EXPECT_LE(page->rows.size(), limit);
    for (const Row& row : page->rows)
      EXPECT_TRUE(rows.emplace(row.key, row).second) << row.key << " is told twice";
    query.after = page->next;
  } while (query.after);
  return rows;
}

// A store and an engine over it, with caches and steps so small that every boundary is met.
template <typename Base>
class EngineFixture : public Base {
 protected:
  EngineFixture() {
    engine_options_.clock = &this->clock_;
    engine_options_.step_events = 50;
    engine_options_.commit_every_ms = 1;
    engine_options_.row_cache_bytes_max = 4096;
    engine_options_.recent_commits_bytes_max = 2048;
    engine_options_.removals_max = 8;
  }
  void TearDown() override {
    engine_.reset();
    Base::TearDown();
  }

  Engine& engine() {
    if (!engine_) {
      auto opened = Engine::open(this->store(), engine_options_);
      if (!opened) {
        // Nothing that follows makes sense.
        fmt::print(stderr, "cannot open the engine: {}\n", opened.error().message);
        std::abort();
      }
      engine_ = *std::move(opened);
    }
    return *engine_;
  }
  void reopen_all() {
    engine_.reset();
    this->reopen();
    engine();
  }

  // Publishes one event; returns its sequence.
  Sequence write(const std::string& stream, const std::string& type, const std::string& data) {
    EventBuilder event{.id = "e" + std::to_string(++written_), .stream = stream, .type = type};
    event.data = data;
    const auto result = this->publish({event.build()});
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result ? result->events.back().sequence : 0;
  }
  Sequence add(const std::string& key, int value) {
    return write("s." + key, "add", fmt::format(R"({{"v":{}}})", value));
  }
  Sequence drop(const std::string& key) { return write("s." + key, "drop", "{}"); }
  // Random adds and drops of `keys` keys, in requests of random size.
  void write_random(std::mt19937_64& random, std::size_t count, std::uint64_t keys) {
    for (std::size_t i = 0; i < count;) {
      std::vector<NewEvent> events;
      for (std::uint64_t left = 1 + random() % 9; left > 0 && i < count; --left, ++i) {
        EventBuilder event{.id = "e" + std::to_string(++written_),
                           .stream = "s.k" + std::to_string(random() % keys),
                           .type = random() % 5 == 0 ? "drop" : "add"};
        event.data = fmt::format(R"({{"v":{}}})", static_cast<int>(random() % 100) - 50);
        if (random() % 10 == 0) event.stream = "other.1";
        events.push_back(event.build());
      }
      const auto result = this->publish(std::move(events));
      ASSERT_TRUE(result) << (result ? "" : result.error().message);
    }
  }

  ProjectionInfo apply(const std::string& toml) { return told(engine().apply(toml)); }
  ProjectionInfo info(const std::string& name) { return told(engine().info(name)); }
  ProjectionInfo told(const Result<ProjectionInfo>& info) {
    EXPECT_TRUE(info) << (info ? "" : info.error().message);
    return info ? *info : ProjectionInfo{};
  }
  Sequence head() { return this->store().tail().head(); }
  Sequence reached(const std::string& name) {
    const ProjectionInfo now = info(name);
    return now.live() == nullptr ? 0 : now.live()->checkpoint.position.sequence;
  }
  // All rows as of the head.
  RowMap rows(const std::string& name = "counting") { return all_rows(engine(), name, head()); }
  // Waits until a version of this number is live.
  bool is_live(const std::string& name, std::uint32_t number) {
    return eventually([&] {
      const ProjectionInfo now = info(name);
      return now.live() != nullptr && now.live()->number == number;
    });
  }
  std::optional<FoldFailure> failure_of(const std::string& name) {
    const ProjectionInfo now = info(name);
    return now.live() == nullptr ? std::nullopt : now.live()->failure;
  }
  bool fails(const std::string& name) {
    return eventually([&] { return failure_of(name).has_value(); });
  }

  // The numbers under which rows are on disk.
  std::set<std::uint64_t> fold_numbers() {
    std::set<std::uint64_t> numbers;
    const auto rows = this->store().derived_rows().iterate(folds_begin(), folds_end());
    for (rows->seek_to_first(); rows->is_valid(); rows->next())
      numbers.insert(fold_number_of(rows->key()));
    return numbers;
  }

  EngineOptions engine_options_;
  std::unique_ptr<Engine> engine_;

 private:
  std::size_t written_ = 0;
};

class EngineTest : public EngineFixture<StoreTest> {};

template <typename Answer>
Code code_of(const Answer& answer) {
  return answer ? Code::kInternal : answer.error().code;
}

}  // namespace tidegate::test
