#include <random>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

using WatchedRows = std::map<std::string, std::string>;

// A watch and what its messages have made of the rows.
struct Watching {
  // False when the call has ended.
  bool take() {
    v1::WatchProjectionResponse message;
    if (!reader->Read(&message)) return false;
    ++messages;
    if (message.reset()) {
      rows.clear();
      ++resets;
    }
    for (const v1::ProjectionRow& row : message.rows()) {
      if (row.document().empty()) {
        rows.erase(row.key());
      } else {
        rows[row.key()] = row.document();
      }
    }
    if (message.has_place()) place = message.place();
    if (message.snapshot_end()) ++snapshots;
    return true;
  }
  std::uint64_t reached() const {
    const auto position = Position::parse(place.position());
    return position ? position->sequence : 0;
  }
  // Reads until the rows are those of a place at or after the sequence.
  bool until(std::uint64_t sequence) {
    while (reached() < sequence) {
      if (!take()) return false;
    }
    return true;
  }
  // Reads to the end.
  Failure finish() {
    while (take()) {
    }
    return failure_of(reader->Finish());
  }

  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::WatchProjectionResponse>> reader;
  WatchedRows rows;
  v1::WatchPlace place;
  int messages = 0;
  int resets = 0;
  int snapshots = 0;
};

class ProjectionWatchTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    const auto applied = engine_->apply(
        "name = \"orders\"\nstreams = [\"orders.*\"]\nkey = \"{stream[1]}\"\n"
        "[on.\"order.placed\"]\ncount = { count = true }\n"
        "[on.\"order.gone\"]\ndelete = true\n");
    ASSERT_TRUE(applied) << applied.error().message;
  }

  static v1::WatchProjectionRequest request_of(const std::vector<std::string>& keys = {}) {
    v1::WatchProjectionRequest request;
    request.set_name("orders");
    for (const std::string& key : keys) request.mutable_selection()->add_keys(key);
    return request;
  }
  std::unique_ptr<Watching> watch(const v1::WatchProjectionRequest& request = request_of(),
                                  const std::string& token = "") {
    auto made = std::make_unique<Watching>();
    set_deadline(made->context);
    if (!token.empty()) made->context.AddMetadata("authorization", "Bearer " + token);
    made->reader = projections_->WatchProjection(&made->context, request);
    return made;
  }
  // The stream's row goes.
  Sequence remove(const std::string& stream) {
    const auto result = publish({EventBuilder{
        .id = "gone-" + std::to_string(++removals_), .stream = stream, .type = "order.gone"}
                                     .build()});
    EXPECT_TRUE(result);
    return result ? result->events.back().sequence : 0;
  }
  static std::string count(int value) { return fmt::format(R"({{"count":{}}})", value); }

 private:
  int removals_ = 0;
};

TEST_F(ProjectionWatchTest, TellsTheRowsAndThenTheirChanges) {
  fill("orders.a", 3);
  const Sequence before = fill("orders.b", 2);
  const auto watching = watch();
  ASSERT_TRUE(watching->until(before));
  EXPECT_EQ(watching->snapshots, 1);
  EXPECT_EQ(watching->rows, (WatchedRows{{"a", count(3)}, {"b", count(2)}}));
  ASSERT_TRUE(watching->until(fill("orders.a", 1)));
  EXPECT_EQ(watching->rows, (WatchedRows{{"a", count(4)}, {"b", count(2)}}));
  ASSERT_TRUE(watching->until(remove("orders.b")));
  EXPECT_EQ(watching->rows, (WatchedRows{{"a", count(4)}}));
  EXPECT_EQ(watching->snapshots, 1);
}

TEST_F(ProjectionWatchTest, ASnapshotOfNothingEndsToo) {
  const auto watching = watch();
  while (watching->snapshots == 0) ASSERT_TRUE(watching->take());
  EXPECT_EQ(watching->rows, WatchedRows{});
  EXPECT_NE(watching->place.position(), "");
}

TEST_F(ProjectionWatchTest, TellsTheSelectedRowsOnly) {
  fill("orders.a", 1);
  fill("orders.b1", 1);
  const auto keys = watch(request_of({"a"}));
  v1::WatchProjectionRequest request = request_of();
  request.mutable_selection()->set_prefix("b");
  const auto prefix = watch(request);
  const Sequence last_a = fill("orders.a", 1);
  const Sequence last_b = fill("orders.b2", 1);
  ASSERT_TRUE(keys->until(last_a));
  EXPECT_EQ(keys->rows, (WatchedRows{{"a", count(2)}}));
  ASSERT_TRUE(prefix->until(last_b));
  EXPECT_EQ(prefix->rows, (WatchedRows{{"b1", count(1)}, {"b2", count(1)}}));
}

TEST_F(ProjectionWatchTest, AReturningWatcherGetsWhatChangedMeanwhile) {
  fill("orders.a", 1);
  fill("orders.b", 1);
  const auto first = watch();
  ASSERT_TRUE(first->until(fill("orders.c", 1)));
  first->context.TryCancel();
  EXPECT_EQ(first->finish().code, grpc::CANCELLED);
  fill("orders.a", 1);
  const Sequence last = remove("orders.b");

  v1::WatchProjectionRequest request = request_of();
  *request.mutable_after() = first->place;
  const auto second = watch(request);
  second->rows = first->rows;
  ASSERT_TRUE(second->until(last));
  EXPECT_EQ(second->resets, 0);
  EXPECT_EQ(second->rows, (WatchedRows{{"a", count(2)}, {"c", count(1)}}));
}

TEST_F(ProjectionWatchTest, APlaceOfAnotherVersionBeginsAnew) {
  const Sequence last = fill("orders.a", 2);
  const auto first = watch();
  ASSERT_TRUE(first->until(last));
  v1::WatchProjectionRequest request = request_of();
  *request.mutable_after() = first->place;
  request.mutable_after()->set_version(99);
  const auto second = watch(request);
  second->rows = {{"stale", count(1)}};
  while (second->snapshots == 0) ASSERT_TRUE(second->take());
  EXPECT_EQ(second->resets, 1);
  EXPECT_EQ(second->rows, (WatchedRows{{"a", count(2)}}));
}

TEST_F(ProjectionWatchTest, ANewVersionBeginsAnew) {
  const Sequence last = fill("orders.a", 2);
  const auto watching = watch();
  ASSERT_TRUE(watching->until(last));
  const int resets = watching->resets;
  ASSERT_TRUE(
      engine_->apply("name = \"orders\"\nstreams = [\"orders.*\"]\n"
                     "[on.\"*\"]\nevents = { count = true }\n"));
  while (watching->snapshots < 2) ASSERT_TRUE(watching->take());
  EXPECT_EQ(watching->resets, resets + 1);
  EXPECT_EQ(watching->place.version(), 2u);
  EXPECT_EQ(watching->rows, (WatchedRows{{"all", R"({"events":2})"}}));
}

TEST_F(ProjectionWatchTest, ASnapshotAloneEnds) {
  for (int i = 0; i < 100; ++i) fill("orders." + std::to_string(i), 1);
  v1::WatchProjectionRequest request = request_of();
  request.set_snapshot_only(true);
  const auto watching = watch(request);
  const Failure failure = watching->finish();
  EXPECT_EQ(failure.reason, "ok") << failure.message;
  EXPECT_EQ(watching->snapshots, 1);
  EXPECT_NE(watching->place.position(), "");
}

TEST_F(ProjectionWatchTest, ASlowReaderHoldsNobodyUpAndEndsEqual) {
  const auto slow = watch();
  const auto quick = watch();
  ASSERT_TRUE(slow->take());
  std::map<std::string, int> counts;
  std::mt19937 random(7);
  Sequence last = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string key = std::to_string(random() % 40);
    if (random() % 5 == 0) {
      last = remove("orders." + key);
      counts.erase(key);
    } else {
      const int more = static_cast<int>(1 + random() % 50);
      last = fill("orders." + key, static_cast<std::size_t>(more));
      counts[key] += more;
    }
  }
  // A removal of nothing is told as late as a heartbeat.
  last = fill("orders.end", 1);
  counts["end"] = 1;
  WatchedRows expected;
  for (const auto& [key, value] : counts) expected[key] = count(value);
  ASSERT_TRUE(quick->until(last));
  EXPECT_EQ(quick->rows, expected);
  ASSERT_TRUE(slow->until(last));
  EXPECT_EQ(slow->rows, expected);
}

TEST_F(ProjectionWatchTest, ManyWatchersEndEqual) {
  std::vector<std::unique_ptr<Watching>> all;
  for (int i = 0; i < 40; ++i) all.push_back(watch());
  std::map<std::string, int> counts;
  Sequence last = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string key = std::to_string(i * 7 % 50);
    last = fill("orders." + key, 1);
    ++counts[key];
  }
  WatchedRows expected;
  for (const auto& [key, value] : counts) expected[key] = count(value);
  for (const auto& watching : all) {
    ASSERT_TRUE(watching->until(last));
    EXPECT_EQ(watching->rows, expected);
  }
}

// How a watch ends -------------------------------------------------------------------------------

TEST_F(ProjectionWatchTest, EndsWithItsClient) {
  const auto watching = watch();
  ASSERT_TRUE(watching->take());
  watching->context.TryCancel();
  EXPECT_EQ(watching->finish().code, grpc::CANCELLED);
  EXPECT_TRUE(eventually(
      [this] { return calls_.all().count("ProjectionService/WatchProjection CANCELLED") == 1; }));
}

TEST_F(ProjectionWatchTest, EndsWhenTheGatewayDrains) {
  const auto watching = watch();
  ASSERT_TRUE(watching->take());
  server_->begin_drain();
  EXPECT_EQ(watching->finish().reason, "draining");
  EXPECT_EQ(watch()->finish().reason, "draining");
}

TEST_F(ProjectionWatchTest, OneThatBeginsDuringTheDrainEndsToo) {
  std::vector<std::unique_ptr<Watching>> all;
  for (int i = 0; i < 100; ++i) all.push_back(watch());
  server_->begin_drain();
  for (const auto& watching : all) ASSERT_EQ(watching->finish().reason, "draining");
}

TEST_F(ProjectionWatchTest, EndsWithTheServer) {
  const auto watching = watch();
  ASSERT_TRUE(watching->take());
  stop();
  EXPECT_NE(watching->finish().code, grpc::OK);
}

TEST_F(ProjectionWatchTest, EndsWithItsProjection) {
  const auto watching = watch();
  ASSERT_TRUE(watching->take());
  ASSERT_TRUE(engine_->remove("orders"));
  EXPECT_EQ(watching->finish().reason, "not_found");
  EXPECT_EQ(watch()->finish().reason, "not_found");
}

TEST_F(ProjectionWatchTest, EndsWithItsToken) {
  know("ann", {"_projections.orders"}, false, SystemClock().wall_us() / 1'000'000 + 2);
  const auto watching = watch(request_of(), "ann");
  ASSERT_TRUE(watching->take());
  EXPECT_EQ(watching->finish().reason, "unauthenticated");
}

TEST_F(ProjectionWatchTest, EndsWhenItsTokenIsRevoked) {
  know("ann", {"_projections.orders"});
  know("ben", {"_projections.orders"});
  const auto revoked = watch(request_of(), "ann");
  const auto other = watch(request_of(), "ben");
  ASSERT_TRUE(revoked->take());
  authority_.revoke("ann");
  EXPECT_EQ(revoked->finish().reason, "forbidden");
  EXPECT_TRUE(other->until(fill("orders.a", 1)));
}

TEST_F(ProjectionWatchTest, BadWatchesAreRefused) {
  v1::WatchProjectionRequest request = request_of();
  request.set_name("a..b");
  EXPECT_EQ(watch(request)->finish().fields, std::vector<std::string>{"name"});
  request = request_of({"a"});
  request.mutable_selection()->set_prefix("b");
  EXPECT_EQ(watch(request)->finish().fields, std::vector<std::string>{"selection"});
  request = request_of();
  request.mutable_after()->set_version(1);
  EXPECT_EQ(watch(request)->finish().reason, "bad_position");
  request.mutable_after()->set_position(Position::at(store().log_id(), 0, 0).text());
  request.mutable_after()->set_version(0);
  EXPECT_EQ(watch(request)->finish().fields, std::vector<std::string>{"after.version"});
  request = request_of();
  request.set_name("nothing");
  EXPECT_EQ(watch(request)->finish().reason, "not_found");
  know("stranger", {">"});
  EXPECT_EQ(watch(request_of(), "stranger")->finish().reason, "forbidden");
}

}  // namespace
}  // namespace tidegate::test
