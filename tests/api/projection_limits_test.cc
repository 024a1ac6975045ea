#include <future>
#include <list>

#include "gateway/api/api_state.h"
#include "gateway/api/projection_messages.h"
#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

constexpr const char* kCounts = R"(name = "orders"
streams = ["orders.*"]
[on."*"]
count = { count = true }
)";

// What projections tell to whom, for how long, and to how many at a time.
class ProjectionLimitsTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    const auto applied = engine_->apply(kCounts);
    ASSERT_TRUE(applied) << applied.error().message;
  }

  static v1::QueryProjectionRequest query_of(std::uint64_t min_sequence) {
    v1::QueryProjectionRequest request;
    request.set_name("orders");
    request.set_min_sequence(min_sequence);
    request.set_wait_ms(60'000);
    return request;
  }
  Failure query(const std::string& token, std::uint64_t min_sequence = 0) {
    return call(*projections_, &ProjectionStub::QueryProjection, query_of(min_sequence), answer_,
                token);
  }
  Failure test(const std::string& token) {
    v1::TestProjectionRequest request;
    request.set_definition(kCounts);
    return call(*projections_, &ProjectionStub::TestProjection, request, tested_, token);
  }
  Failure apply(const std::string& streams, const std::string& token) {
    v1::ApplyProjectionRequest request;
    request.set_definition("name = \"orders\"\nstreams = [\"" + streams +
                           "\"]\n[on.\"*\"]\nnumber = { count = true }\n");
    return call(*projections_, &ProjectionStub::ApplyProjection, request, applied_, token);
  }

  v1::QueryProjectionResponse answer_;
  v1::TestProjectionResponse tested_;
  v1::ApplyProjectionResponse applied_;
};

// Tokens that end --------------------------------------------------------------------------------

TEST_F(ProjectionLimitsTest, NothingIsToldAfterTheTokenExpired) {
  fill("orders.a", 1);
  // The test's authority lets it in: it expires at once afterwards.
  know("ann", {"orders.*", "_projections.orders"}, true, 1);
  EXPECT_EQ(query("ann").reason, "unauthenticated");
  EXPECT_EQ(answer_.rows_size(), 0);
  EXPECT_EQ(test("ann").reason, "unauthenticated");
  EXPECT_EQ(tested_.rows_size(), 0);
}

TEST_F(ProjectionLimitsTest, NothingIsToldAfterTheTokenWasRevoked) {
  fill("orders.a", 1);
  know("ann", {"orders.*", "_projections.orders"}, true);
  EXPECT_EQ(query("ann").reason, "ok");
  EXPECT_EQ(test("ann").reason, "ok");
  authority_.revoke("ann");
  EXPECT_EQ(query("ann").reason, "forbidden");
  EXPECT_EQ(test("ann").reason, "forbidden");
}

TEST_F(ProjectionLimitsTest, AWaitEndsWithItsToken) {
  know("ann", {"_projections.orders"});
  auto waiting = std::async(std::launch::async, [this] { return query("ann", 99).reason; });
  authority_.revoke("ann");
  EXPECT_EQ(waiting.get(), "forbidden");
}

// Places -----------------------------------------------------------------------------------------

TEST_F(ProjectionLimitsTest, AnOwnerHasSoManyQueriesUnderWay) {
  struct Waiting {
    grpc::ClientContext context;
    v1::QueryProjectionResponse response;
  };
  know("ann", {"_projections.orders"});
  know("ben", {"_projections.orders"});
  const v1::QueryProjectionRequest request = query_of(99);
  Guarded<std::vector<Failure>> ended;
  const auto ended_count = [&ended] {
    return ended.with([](const std::vector<Failure>& all) { return all.size(); });
  };
  // All wait but the one that comes last, whichever that is.
  std::list<Waiting> all(ApiState::kQueriesPerOwnerMax + 1);
  for (Waiting& made : all) {
    made.context.AddMetadata("authorization", "Bearer ann");
    projections_->async()->QueryProjection(
        &made.context, &request, &made.response, [&ended](const grpc::Status& status) {
          ended.with([&](std::vector<Failure>& to) { to.push_back(failure_of(status)); });
        });
  }
  EXPECT_TRUE(eventually([&] { return ended_count() > 0; }));
  const Failure refused = ended.with(
      [](const std::vector<Failure>& of) { return of.empty() ? Failure() : of.front(); });
  EXPECT_EQ(refused.reason, "overloaded");
  EXPECT_GT(refused.retry_ms, 0);
  EXPECT_EQ(query("ben").reason, "ok");
  // Who cancels them does not get their places in the engine back.
  for (Waiting& made : all) made.context.TryCancel();
  EXPECT_TRUE(eventually([&] { return ended_count() == all.size(); }));
  EXPECT_EQ(query("ann").reason, "overloaded");
  fill("orders.a", 99);
  EXPECT_TRUE(eventually([this] { return query("ann").reason == "ok"; }));
}

TEST_F(ProjectionLimitsTest, AnOwnerHasSoManyWatches) {
  know("ann", {"_projections.orders"});
  know("ben", {"_projections.orders"});
  struct Watching {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchProjectionResponse>> reader;
  };
  const auto watch = [this](const std::string& who) {
    auto made = std::make_unique<Watching>();
    made->context.AddMetadata("authorization", "Bearer " + who);
    v1::WatchProjectionRequest request;
    request.set_name("orders");
    made->reader = projections_->WatchProjection(&made->context, request);
    return made;
  };
  const auto begins = [](Watching& watching) {
    v1::WatchProjectionResponse response;
    return watching.reader->Read(&response);
  };
  std::vector<std::unique_ptr<Watching>> all;
  for (std::size_t i = 0; i < ApiState::kWatchesPerOwnerMax; ++i) {
    all.push_back(watch("ann"));
    ASSERT_TRUE(begins(*all.back())) << i;
  }
  const auto refused = watch("ann");
  EXPECT_FALSE(begins(*refused));
  EXPECT_EQ(failure_of(refused->reader->Finish()).reason, "overloaded");
  EXPECT_TRUE(begins(*watch("ben")));
  all.front()->context.TryCancel();
  EXPECT_TRUE(eventually([&] { return begins(*watch("ann")); }));
}

TEST(OwnerPlaces, ComeBackWhenTheyAreLeft) {
  constexpr std::size_t kMax = 3;
  Principal ann;
  ann.owner = "ann";
  OwnerPlaces places(kMax, "calls");
  std::vector<std::shared_ptr<const void>> taken;
  for (std::size_t i = 0; i < kMax; ++i) taken.push_back(*places.take(ann));
  EXPECT_FALSE(places.take(ann));
  taken.pop_back();
  EXPECT_TRUE(places.take(ann));
  taken.clear();
  for (std::size_t i = 0; i < 2 * kMax; ++i) {
    EXPECT_TRUE(places.take(ann));
    taken.push_back(*places.take(*Principal::unrestricted()));
  }
}

TEST_F(ProjectionLimitsTest, NoQueryIsBegunWhileMemoryIsShort) {
  pressure_.set(Pressure::kHigh);
  const Failure failure = query("");
  EXPECT_EQ(failure.reason, "overloaded");
  EXPECT_GT(failure.retry_ms, 0);
  pressure_.set(Pressure::kNone);
  EXPECT_EQ(query("").reason, "ok");
}

// Who is told what -------------------------------------------------------------------------------

TEST_F(ProjectionLimitsTest, ARefusalDoesNotTellWhatTheProjectionReads) {
  know("narrow", {"orders.a"}, true);
  v1::PauseProjectionRequest request;
  request.set_name("orders");
  v1::PauseProjectionResponse response;
  for (const Failure& failure :
       {call(*projections_, &ProjectionStub::PauseProjection, request, response, "narrow"),
        apply("orders.a", "narrow")}) {
    EXPECT_EQ(failure.reason, "forbidden");
    EXPECT_EQ(failure.message,
              "the token does not permit to read all streams of projection 'orders'");
  }
  // Of its own definition it may know.
  EXPECT_NE(apply("orders.b", "narrow").message.find("'orders.b'"), std::string::npos);
}

TEST_F(ProjectionLimitsTest, DefinitionsAreForWhoMayReadTheProjection) {
  know("admin", {"orders.*"}, true);
  know("reader", {"orders.*", "_projections.orders"}, true);
  ASSERT_EQ(apply("orders.*", "admin").reason, "ok");
  ASSERT_GT(applied_.projection().versions_size(), 0);
  for (const v1::ProjectionVersion& version : applied_.projection().versions())
    EXPECT_EQ(version.definition(), "");
  ASSERT_EQ(apply("orders.*", "reader").reason, "ok");
  for (const v1::ProjectionVersion& version : applied_.projection().versions())
    EXPECT_NE(version.definition(), "");
}

TEST_F(ProjectionLimitsTest, AFailureOfNoEventIsForWhoMayReadAllStreams) {
  ProjectionInfo info;
  info.name = "orders";
  VersionInfo& version = info.versions.emplace_back();
  version.definition = kCounts;
  version.failure = FoldFailure{0, "", "", "row 'secret' is too large"};
  const auto told = [&info](const std::vector<std::string>& grants) {
    Principal reader;
    for (const std::string& grant : grants) reader.subscribe.push_back(*Pattern::parse(grant));
    v1::Projection out;
    set_projection(out, info, reader);
    return out.versions(0).failure().message();
  };
  EXPECT_EQ(told({"_projections.orders", "orders.>"}), version.failure->message);
  for (const char* grant : {"orders.a", "other.>"}) {
    const std::string message = told({"_projections.orders", grant});
    EXPECT_NE(message, "");
    EXPECT_EQ(message.find("secret"), std::string::npos) << message;
  }
  // What cannot be read any more may have read anything.
  version.definition = "nonsense";
  EXPECT_EQ(told({"_projections.orders", ">"}).find("secret"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::test
