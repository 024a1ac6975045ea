#include <future>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

// How many orders each stream has.
constexpr const char* kOrders = R"(name = "orders"
description = "Orders per stream"
streams = ["orders.*"]
key = "{stream[1]}"
[on."order.placed"]
count = { count = true }
)";

// The same, and what they come to.
constexpr const char* kOrdersAndTotals = R"(name = "orders"
streams = ["orders.*"]
key = "{stream[1]}"
[on."order.placed"]
count = { count = true }
total = { sum = "/total" }
)";

using Rows = std::map<std::string, std::string>;

class ProjectionServiceTest : public ApiTest {
 protected:
  Failure apply(const std::string& definition, const std::string& token = "",
                bool validate_only = false) {
    v1::ApplyProjectionRequest request;
    request.set_definition(definition);
    request.set_validate_only(validate_only);
    v1::ApplyProjectionResponse response;
    const Failure failure =
        call(*projections_, &ProjectionStub::ApplyProjection, request, response, token);
    applied_ = response.projection();
    return failure;
  }
  Failure find(const std::string& name, v1::Projection& out, const std::string& token = "") {
    v1::GetProjectionRequest request;
    request.set_name(name);
    v1::GetProjectionResponse response;
    const Failure failure =
        call(*projections_, &ProjectionStub::GetProjection, request, response, token);
    out = response.projection();
    return failure;
  }
  v1::Projection found(const std::string& name) {
    v1::Projection projection;
    EXPECT_EQ(find(name, projection).reason, "ok");
    return projection;
  }
  // The number of the version that is live; 0: none.
  std::uint32_t live(const std::string& name) {
    const v1::Projection projection = found(name);
    for (const v1::ProjectionVersion& version : projection.versions()) {
      if (version.state() == v1::VERSION_STATE_LIVE) return version.number();
    }
    return 0;
  }
  // One of the methods that take a name and change the projection.
  template <typename Request, typename Response>
  Failure change(grpc::Status (ProjectionStub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                 const std::string& name, const std::string& token = "") {
    Request request;
    request.set_name(name);
    Response response;
    return call(*projections_, method, request, response, token);
  }
  Failure skip(const std::string& name, std::uint64_t sequence) {
    v1::SkipProjectionEventRequest request;
    request.set_name(name);
    request.set_sequence(sequence);
    v1::SkipProjectionEventResponse response;
    return call(*projections_, &ProjectionStub::SkipProjectionEvent, request, response);
  }
  Failure query(const v1::QueryProjectionRequest& request, v1::QueryProjectionResponse& response,
                const std::string& token = "") {
    return call(*projections_, &ProjectionStub::QueryProjection, request, response, token);
  }
  static v1::QueryProjectionRequest query_of(const std::string& name, std::uint64_t min_sequence,
                                             std::uint32_t wait_ms = 20'000) {
    v1::QueryProjectionRequest request;
    request.set_name(name);
    request.set_min_sequence(min_sequence);
    request.set_wait_ms(wait_ms);
    return request;
  }
  static Rows rows_of(const v1::QueryProjectionResponse& response) {
    Rows made;
    for (const v1::ProjectionRow& row : response.rows()) made[row.key()] = row.document();
    return made;
  }
  // All rows, as they are when they reflect the sequence.
  Rows rows(const std::string& name, std::uint64_t sequence) {
    v1::QueryProjectionResponse response;
    const Failure failure = query(query_of(name, sequence), response);
    EXPECT_EQ(failure.reason, "ok") << failure.message;
    EXPECT_GE(response.sequence(), sequence);
    return rows_of(response);
  }
  std::vector<std::string> listed(const std::string& token = "") {
    std::vector<std::string> names;
    v1::ListProjectionsRequest request;
    request.set_page_size(1);
    do {
      v1::ListProjectionsResponse page;
      const Failure failure =
          call(*projections_, &ProjectionStub::ListProjections, request, page, token);
      EXPECT_EQ(failure.reason, "ok") << failure.message;
      EXPECT_LE(page.projections_size(), 1);
      for (const v1::Projection& projection : page.projections())
        names.push_back(projection.name());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return names;
  }
  // Calls of the method that have ended, whatever their status.
  int ended(const std::string& method) const {
    int count = 0;
    for (const auto& [name, times] : calls_.all()) {
      if (name.starts_with(method + " ")) count += times;
    }
    return count;
  }

  v1::Projection applied_;  // by the last `apply`
};

// Defining and asking ----------------------------------------------------------------------------

TEST_F(ProjectionServiceTest, FoldsTheLogAndAnswers) {
  fill("orders.a", 3);
  fill("orders.b", 2);
  fill("other.c", 1);
  ASSERT_EQ(apply(kOrders).reason, "ok");
  EXPECT_EQ(applied_.name(), "orders");
  EXPECT_EQ(applied_.description(), "Orders per stream");
  EXPECT_FALSE(applied_.built_in());
  ASSERT_EQ(applied_.versions_size(), 1);
  EXPECT_EQ(applied_.versions(0).definition(), kOrders);
  EXPECT_EQ(rows("orders", 6), (Rows{{"a", R"({"count":3})"}, {"b", R"({"count":2})"}}));
  const v1::Projection projection = found("orders");
  EXPECT_EQ(projection.head(), 6u);
  EXPECT_EQ(projection.versions(0).sequence(), 6u);
  EXPECT_EQ(projection.versions(0).events(), 5u);
  EXPECT_EQ(projection.versions(0).rows(), 2u);
  EXPECT_EQ(projection.versions(0).position(), store().reader().position_at(6)->text());
}

TEST_F(ProjectionServiceTest, AnswersTellWhatTheyReflect) {
  fill("orders.a", 3);
  fill("orders.b", 1);
  ASSERT_EQ(apply(kOrders).reason, "ok");
  v1::QueryProjectionResponse response;
  EXPECT_EQ(query(query_of("orders", 4), response).reason, "ok");
  EXPECT_EQ(response.sequence(), 4u);
  EXPECT_EQ(response.position(), store().reader().position_at(4)->text());
  EXPECT_EQ(response.head(), 4u);
  EXPECT_EQ(response.version(), 1u);
  ASSERT_EQ(response.rows_size(), 2);
  EXPECT_EQ(response.rows(0).sequence(), 3u);
  EXPECT_EQ(response.rows(1).sequence(), 4u);
}

TEST_F(ProjectionServiceTest, FindsKeysAndPrefixesInPages) {
  for (const char* stream : {"orders.a1", "orders.a2", "orders.a3", "orders.b1"}) fill(stream, 1);
  ASSERT_EQ(apply(kOrders).reason, "ok");
  v1::QueryProjectionRequest request = query_of("orders", 4);
  request.mutable_selection()->add_keys("b1");
  request.mutable_selection()->add_keys("nothing");
  v1::QueryProjectionResponse response;
  EXPECT_EQ(query(request, response).reason, "ok");
  EXPECT_EQ(rows_of(response), (Rows{{"b1", R"({"count":1})"}}));

  request.mutable_selection()->clear_keys();
  request.mutable_selection()->set_prefix("a");
  request.set_page_size(2);
  std::vector<std::string> keys;
  do {
    EXPECT_EQ(query(request, response).reason, "ok");
    EXPECT_LE(response.rows_size(), 2);
    for (const v1::ProjectionRow& row : response.rows()) keys.push_back(row.key());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty() && keys.size() < 10);
  EXPECT_EQ(keys, (std::vector<std::string>{"a1", "a2", "a3"}));
}

TEST_F(ProjectionServiceTest, WhoPublishedReadsWhatItWrote) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  v1::QueryProjectionRequest request;
  request.set_name("orders");
  request.set_wait_ms(20'000);
  for (int i = 1; i <= 50; ++i) {
    request.set_min_position(put(publish_request("orders.a", fmt::format("{}-", i), 1)).position());
    v1::QueryProjectionResponse response;
    const Failure failure = query(request, response);
    ASSERT_EQ(failure.reason, "ok") << failure.message;
    EXPECT_EQ(rows_of(response), (Rows{{"a", fmt::format(R"({{"count":{}}})", i)}}));
  }
}

TEST_F(ProjectionServiceTest, APlaceOfAnotherHistoryIsRefused) {
  fill("orders.a", 3);
  ASSERT_EQ(apply(kOrders).reason, "ok");
  v1::QueryProjectionRequest request;
  request.set_name("orders");
  request.set_min_position(Position::at(LogId::random(), 2, 0).text());
  v1::QueryProjectionResponse response;
  const Failure failure = query(request, response);
  EXPECT_EQ(failure.reason, "history_mismatch");
  EXPECT_EQ(failure.code, grpc::FAILED_PRECONDITION);
}

TEST_F(ProjectionServiceTest, ValidatesWithoutApplying) {
  EXPECT_EQ(apply(kOrders, "", true).reason, "ok");
  EXPECT_EQ(applied_.name(), "orders");
  EXPECT_EQ(listed(), std::vector<std::string>{});
  // A script is loaded too.
  EXPECT_EQ(apply("name = \"s\"\nstreams = [\"a.>\"]\nscript = '''on = {'''\n", "", true).fields,
            std::vector<std::string>{"definition"});
}

TEST_F(ProjectionServiceTest, BadDefinitionsAreRefused) {
  for (const char* text : {"", "name = 1", "name = \"a\"", "name = \"_x\"\nstreams = [\"a\"]",
                           "name = \"a b\"\nstreams = [\"a\"]", "nonsense"}) {
    const Failure failure = apply(text);
    EXPECT_EQ(failure.code,
              failure.reason == "forbidden" ? grpc::PERMISSION_DENIED : grpc::INVALID_ARGUMENT)
        << text;
  }
  EXPECT_EQ(apply("name = \"a\"\ncolour = 1\n").fields, std::vector<std::string>{"definition"});
  EXPECT_EQ(listed(), std::vector<std::string>{});
}

TEST_F(ProjectionServiceTest, TestsADefinitionAndStoresNothing) {
  fill("orders.a", 3);
  fill("other.b", 1);
  fill("orders.b", 2);
  v1::TestProjectionRequest request;
  request.set_definition(kOrders);
  v1::TestProjectionResponse response;
  const auto test = [&] {
    return call(*projections_, &ProjectionStub::TestProjection, request, response).reason;
  };
  EXPECT_EQ(test(), "ok");
  EXPECT_EQ(response.examined(), 6u);
  EXPECT_EQ(response.matched(), 5u);
  EXPECT_EQ(response.row_count(), 2u);
  EXPECT_EQ(response.rows_size(), 2);
  EXPECT_EQ(response.position(), store().reader().position_at(6)->text());
  request.set_limit(1);
  request.mutable_start()->set_after_sequence(2);
  request.set_until_sequence(5);
  EXPECT_EQ(test(), "ok");
  EXPECT_EQ(response.examined(), 3u);
  EXPECT_EQ(response.row_count(), 2u);
  ASSERT_EQ(response.rows_size(), 1);
  EXPECT_EQ(response.rows(0).document(), R"({"count":1})");
  request.set_limit(10'001);
  EXPECT_EQ(test(), "bad_argument");
  EXPECT_EQ(listed(), std::vector<std::string>{});
}

TEST_F(ProjectionServiceTest, SwitchedOffProjectionsSaySo) {
  GrpcServer off({.listen = "127.0.0.1:0", .version = "x"}, store(), host_, nullptr, authority_,
                 [] { return DeliveryCounts{}; });
  const auto address = off.start();
  ASSERT_TRUE(address) << address.error().message;
  const auto channel = grpc::CreateChannel(*address, grpc::InsecureChannelCredentials());
  projections_ = v1::ProjectionService::NewStub(channel);
  EXPECT_EQ(apply(kOrders).reason, "unsupported");
  v1::Projection projection;
  EXPECT_EQ(find("orders", projection).reason, "unsupported");
  v1::QueryProjectionResponse response;
  const Failure failure = query(query_of("orders", 1), response);
  EXPECT_EQ(failure.reason, "unsupported");
  EXPECT_NE(failure.message.find("projections.enabled"), std::string::npos);
  grpc::ClientContext context;
  set_deadline(context);
  const auto watch = projections_->WatchProjection(&context, v1::WatchProjectionRequest());
  v1::WatchProjectionResponse message;
  EXPECT_FALSE(watch->Read(&message));
  EXPECT_EQ(failure_of(watch->Finish()).reason, "unsupported");
}

// Waiting ----------------------------------------------------------------------------------------

TEST_F(ProjectionServiceTest, AWaitThatEndsSaysSo) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  ASSERT_EQ(change(&ProjectionStub::PauseProjection, "orders").reason, "ok");
  EXPECT_TRUE(found("orders").paused());
  fill("orders.a", 2);
  v1::QueryProjectionResponse response;
  EXPECT_EQ(query(query_of("orders", 2, 20), response).code, grpc::UNAVAILABLE);
  EXPECT_EQ(query(query_of("orders", 2, 0), response).reason, "unavailable");
  EXPECT_EQ(query(query_of("orders", 0, 0), response).reason, "ok");
  EXPECT_EQ(response.rows_size(), 0);
  ASSERT_EQ(change(&ProjectionStub::ResumeProjection, "orders").reason, "ok");
  EXPECT_EQ(rows("orders", 2), (Rows{{"a", R"({"count":2})"}}));
}

TEST_F(ProjectionServiceTest, AWaitIsNotLongerThanItsCall) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::QueryProjectionResponse response;
  const grpc::Status status =
      projections_->QueryProjection(&context, query_of("orders", 99, 60'000), &response);
  EXPECT_TRUE(status.error_code() == grpc::DEADLINE_EXCEEDED ||
              status.error_code() == grpc::UNAVAILABLE)
      << status.error_message();
  EXPECT_TRUE(eventually([this] { return ended("ProjectionService/QueryProjection") == 1; }));
}

TEST_F(ProjectionServiceTest, AWaitEndsWithItsClient) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  grpc::ClientContext context;
  v1::QueryProjectionResponse response;
  auto waiting = std::async(std::launch::async, [&] {
    return projections_->QueryProjection(&context, query_of("orders", 99, 60'000), &response);
  });
  context.TryCancel();
  EXPECT_EQ(waiting.get().error_code(), grpc::CANCELLED);
  // The server does not wait for it either.
  stop();
}

TEST_F(ProjectionServiceTest, AWaitEndsWhenTheGatewayDrains) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  auto waiting = std::async(std::launch::async, [this] {
    v1::QueryProjectionResponse response;
    return query(query_of("orders", 99, 60'000), response).code;
  });
  server_->begin_drain();
  EXPECT_EQ(waiting.get(), grpc::UNAVAILABLE);
  // What does not wait is still answered.
  v1::QueryProjectionResponse response;
  EXPECT_EQ(query(query_of("orders", 0), response).reason, "ok");
}

// Versions and failures --------------------------------------------------------------------------

TEST_F(ProjectionServiceTest, AChangedDefinitionTakesOverAndRollsBack) {
  fill("orders.a", 3);
  ASSERT_EQ(apply(kOrders).reason, "ok");
  EXPECT_EQ(rows("orders", 3), (Rows{{"a", R"({"count":3})"}}));
  EXPECT_EQ(change(&ProjectionStub::RollbackProjection, "orders").reason, "check_failed");
  ASSERT_EQ(apply(kOrders).reason, "ok");
  EXPECT_EQ(applied_.versions_size(), 1);  // the same text is no new version
  ASSERT_EQ(apply(kOrdersAndTotals).reason, "ok");
  ASSERT_TRUE(eventually([this] { return live("orders") == 2; }));
  EXPECT_EQ(rows("orders", 3), (Rows{{"a", R"({"count":3,"total":3})"}}));
  ASSERT_EQ(change(&ProjectionStub::RollbackProjection, "orders").reason, "ok");
  ASSERT_TRUE(eventually([this] { return live("orders") == 1; }));
  EXPECT_EQ(rows("orders", 3), (Rows{{"a", R"({"count":3})"}}));
  ASSERT_EQ(change(&ProjectionStub::RebuildProjection, "orders").reason, "ok");
  ASSERT_TRUE(eventually([this] { return live("orders") == 3; }));
  EXPECT_EQ(rows("orders", 3), (Rows{{"a", R"({"count":3})"}}));
}

TEST_F(ProjectionServiceTest, ADeletedProjectionIsGone) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  EXPECT_EQ(listed(), std::vector<std::string>{"orders"});
  EXPECT_EQ(change(&ProjectionStub::DeleteProjection, "orders").reason, "ok");
  EXPECT_EQ(listed(), std::vector<std::string>{});
  v1::Projection projection;
  EXPECT_EQ(find("orders", projection).reason, "not_found");
  v1::QueryProjectionResponse response;
  EXPECT_EQ(query(query_of("orders", 0), response).code, grpc::NOT_FOUND);
  EXPECT_EQ(change(&ProjectionStub::DeleteProjection, "orders").reason, "not_found");
  EXPECT_EQ(change(&ProjectionStub::PauseProjection, "orders").reason, "not_found");
}

TEST_F(ProjectionServiceTest, AnEventThatCannotBeFoldedIsSkipped) {
  fill("orders.a", 1);
  ASSERT_TRUE(publish(
      {EventBuilder{.id = "bad", .stream = "orders.a", .data = R"({"total":"secret"})"}.build()}));
  fill("orders.a", 1);
  ASSERT_EQ(apply(kOrdersAndTotals).reason, "ok");
  ASSERT_TRUE(eventually([this] { return found("orders").versions(0).has_failure(); }));
  const v1::FoldFailure failure = found("orders").versions(0).failure();
  EXPECT_EQ(failure.sequence(), 2u);
  EXPECT_EQ(failure.stream(), "orders.a");
  EXPECT_EQ(failure.type(), "order.placed");
  EXPECT_NE(failure.message(), "");
  EXPECT_EQ(rows("orders", 1), (Rows{{"a", R"({"count":1,"total":1})"}}));
  EXPECT_EQ(skip("orders", 3).reason, "check_failed");
  EXPECT_EQ(skip("orders", 2).reason, "ok");
  EXPECT_EQ(rows("orders", 3), (Rows{{"a", R"({"count":2,"total":2})"}}));
  ASSERT_EQ(found("orders").versions(0).skipped_size(), 1);
  EXPECT_EQ(found("orders").versions(0).skipped(0), 2u);
  EXPECT_EQ(change(&ProjectionStub::RetryProjection, "orders").reason, "check_failed");

  // Its texts quote the event: they are for who may read it.
  ASSERT_TRUE(publish(
      {EventBuilder{.id = "bad2", .stream = "orders.a", .data = R"({"total":"secret"})"}.build()}));
  ASSERT_TRUE(eventually([this] { return found("orders").versions(0).has_failure(); }));
  know("reader", {"_projections.orders"});
  know("insider", {"_projections.orders", "orders.*"});
  v1::Projection projection;
  EXPECT_EQ(find("orders", projection, "insider").reason, "ok");
  EXPECT_EQ(projection.versions(0).failure().stream(), "orders.a");
  EXPECT_EQ(find("orders", projection, "reader").reason, "ok");
  EXPECT_EQ(projection.versions(0).failure().sequence(), 4u);
  EXPECT_EQ(projection.versions(0).failure().stream(), "");
  EXPECT_EQ(projection.versions(0).failure().message().find("secret"), std::string::npos);
}

// Grants -----------------------------------------------------------------------------------------

TEST_F(ProjectionServiceTest, ReadingNeedsAGrantForTheProjection) {
  ASSERT_EQ(apply(kOrders).reason, "ok");
  ASSERT_EQ(
      apply("name = \"others\"\nstreams = [\"a\"]\n[on.\"*\"]\nn = { count = true }\n").reason,
      "ok");
  know("reader", {"_projections.orders"});
  know("both", {"_projections.*"});
  know("stranger", {">", "orders.*"});
  v1::Projection projection;
  v1::QueryProjectionResponse response;
  EXPECT_EQ(find("orders", projection, "reader").reason, "ok");
  EXPECT_EQ(query(query_of("orders", 0), response, "reader").reason, "ok");
  EXPECT_EQ(find("others", projection, "reader").reason, "forbidden");
  // Not even whether there is one.
  EXPECT_EQ(find("nothing", projection, "reader").reason, "forbidden");
  EXPECT_EQ(find("orders", projection, "stranger").reason, "forbidden");
  EXPECT_EQ(query(query_of("orders", 0), response, "stranger").reason, "forbidden");
  EXPECT_EQ(listed("reader"), std::vector<std::string>{"orders"});
  EXPECT_EQ(listed("both"), (std::vector<std::string>{"orders", "others"}));
  EXPECT_EQ(listed("stranger"), std::vector<std::string>{});
}

TEST_F(ProjectionServiceTest, ChangingNeedsAdministrationAndWhatTheDefinitionReads) {
  know("reader", {"orders.*", "_projections.orders"});
  know("narrow", {"orders.a"}, true);
  know("admin", {"orders.>"}, true);
  EXPECT_EQ(apply(kOrders, "reader").reason, "forbidden");
  const Failure failure = apply(kOrders, "narrow");
  EXPECT_EQ(failure.reason, "forbidden");
  EXPECT_NE(failure.message.find("orders.*"), std::string::npos);
  EXPECT_EQ(apply(kOrders, "narrow", true).reason, "forbidden");
  EXPECT_EQ(apply(kOrders, "admin").reason, "ok");
  // Its own definition may be narrow; the one that it would replace is not.
  EXPECT_EQ(apply("name = \"orders\"\nstreams = [\"orders.a\"]\n[on.\"*\"]\nn = { count = true }\n",
                  "narrow")
                .reason,
            "forbidden");
  for (const char* who : {"reader", "narrow"}) {
    EXPECT_EQ(change(&ProjectionStub::PauseProjection, "orders", who).reason, "forbidden") << who;
    EXPECT_EQ(change(&ProjectionStub::DeleteProjection, "orders", who).reason, "forbidden") << who;
    v1::TestProjectionRequest request;
    request.set_definition(kOrders);
    v1::TestProjectionResponse response;
    EXPECT_EQ(call(*projections_, &ProjectionStub::TestProjection, request, response, who).reason,
              "forbidden")
        << who;
  }
  EXPECT_EQ(change(&ProjectionStub::PauseProjection, "orders", "admin").reason, "ok");
  // To administer is not to read.
  v1::QueryProjectionResponse response;
  EXPECT_EQ(query(query_of("orders", 0), response, "admin").reason, "forbidden");
}

}  // namespace
}  // namespace tidegate::test
