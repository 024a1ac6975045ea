// Queries of projections, and what a peer may read of them.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/projection_fixture.h"

namespace tidegate::test {
namespace {

class SessionQueryTest : public ProjectionFixture {};

TEST_F(SessionQueryTest, QueryAnswersARequest) {
  append(3);
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const auto peer = connect(form);
    v1::ClientMessage message = query("q");
    v1::QueryOp& op = *message.mutable_query();
    op.mutable_selection()->set_prefix("x");
    op.set_limit(7);
    op.set_wait_ms(50);
    op.set_min_sequence(3);
    peer->say(message);
    ASSERT_EQ(projections_.queries.size(), 1U);
    const RowQuery& asked = projections_.queries[0].request.query;
    EXPECT_EQ(asked.projection, "p");
    EXPECT_EQ(asked.selection.prefix, "x");
    EXPECT_EQ(asked.limit, 7U);
    EXPECT_EQ(asked.bytes, SessionLimits{}.batch_bytes);
    EXPECT_EQ(asked.wait_ms, 50U);
    EXPECT_EQ(asked.min_sequence, 3U);
    EXPECT_FALSE(asked.after);
    RowPage page;
    page.rows = {{"x1", R"({"n":[1,"é"]})", 2}, {"x2", "null", 3}};
    page.position = log_.position(3);
    page.version = 4;
    page.next = "x2";
    projections_.queries[0].done(page);
    const auto seen = heard(*peer);
    ASSERT_EQ(ops(seen), "query_result");
    EXPECT_EQ(seen[0].field("request"), "q");
    EXPECT_EQ(seen[0].field("position"), log_.position(3).text());
    EXPECT_EQ(seen[0].number("version"), 4U);
    ASSERT_EQ(seen[0].rows.size(), 2U);
    EXPECT_EQ(seen[0].rows[0], (SeenMessage::Row{"x1", R"({"n":[1,"é"]})", 2}));
    projections_.queries.clear();

    message = query("r");
    message.mutable_query()->set_page_token(seen[0].field("next"));
    message.mutable_query()->set_min_position(log_.position(2).text());
    peer->say(message);
    ASSERT_EQ(projections_.queries.size(), 1U);
    EXPECT_EQ(projections_.queries[0].request.query.after, "x2");
    EXPECT_EQ(projections_.queries[0].request.min_position, log_.position(2));
    EXPECT_EQ(projections_.queries[0].request.query.limit, 100U);
    projections_.queries[0].done(
        Error{.code = Code::kUnavailable, .message = "not yet", .retry_after_ms = 10});
    const auto refused = heard(*peer);
    ASSERT_EQ(ops(refused), "error");
    EXPECT_EQ(refused[0].field("request"), "r");
    EXPECT_EQ(refused[0].field("code"), "unavailable");
    projections_.queries.clear();
  }
}

TEST_F(SessionQueryTest, RefusesBadQueriesByNameOfTheRequest) {
  const auto peer = connect();
  const struct {
    std::string more;
    std::string code;
  } cases[] = {
      {R"("projection":"p","limit":1001)", "bad_argument"},
      {R"("projection":"p","wait_ms":60001)", "bad_argument"},
      {R"("projection":"p","page_token":"x")", "bad_argument"},
      {R"("projection":"p","keys":["a"],"prefix":"b")", "bad_argument"},
      {R"("projection":"p","min_position":"x.y")", "bad_position"},
      {R"("projection":"p","min_position":"17")", "bad_position"},
      {R"("projection":"a b")", "bad_argument"},
  };
  for (const auto& one : cases) {
    const auto seen = ask(*peer, R"({"op":"query","request":"q",)" + one.more + "}");
    ASSERT_EQ(ops(seen), "error") << one.more;
    EXPECT_EQ(seen[0].field("request"), "q");
    EXPECT_EQ(seen[0].field("code"), one.code) << one.more << seen[0].field("message");
  }
  EXPECT_TRUE(projections_.queries.empty());
}

TEST_F(SessionQueryTest, ReadsProjectionsByGrantOnly) {
  for (const std::string grant : {">", "*.p", "p", "_projections.q"}) {
    const auto peer = connect(WireForm::kJson, somebody({grant}));
    for (const v1::ClientMessage& message :
         {watch("x"), query("x"), subscribe_with_snapshot("x", 0)}) {
      const auto seen = say(*peer, message);
      ASSERT_EQ(seen.size(), 1U) << grant;
      EXPECT_EQ(seen[0].field("code"), "forbidden") << grant;
    }
  }
  for (const char* const grant : {"_projections.p", "_projections.>", "_projections.*"}) {
    const auto peer = connect(WireForm::kJson, somebody({grant}));
    EXPECT_EQ(ops(say(*peer, watch("x"))), "snapshot_end x") << grant;
    EXPECT_EQ(ops(say(*peer, subscribe_with_snapshot("y", 0))), "error y") << "the events too";
  }
}

TEST_F(SessionQueryTest, LosesWhatANewTokenDoesNotGrant) {
  const auto peer = connect(WireForm::kJson, somebody({">", "_projections.p"}));
  say(*peer, watch("w"));
  say(*peer, subscribe_with_snapshot("s", 0));
  ask(*peer, R"({"op":"subscribe","id":"plain","streams":[">"]})");
  peer->say(query("q"));
  authority_.know("less", *somebody({">"}));
  const auto seen = ask(*peer, R"({"op":"refresh","token":"less"})");
  ASSERT_EQ(ops(seen), "refreshed, unsubscribed s, unwatched w");
  EXPECT_EQ(seen[1].field("reason"), "forbidden");
  EXPECT_EQ(seen[2].field("reason"), "forbidden");
  change({"a"}, "1");
  EXPECT_EQ(ops(heard(*peer)), "events plain");
  // One that was under way.
  projections_.queries.front().done(RowPage{});
  const auto answer = heard(*peer);
  ASSERT_EQ(ops(answer), "error");
  EXPECT_EQ(answer[0].field("code"), "forbidden");
}

TEST_F(SessionQueryTest, ReadsFromDiskCountAgainstTheBudget) {
  for (int i = 0; i < 6; ++i) projections_.put(fmt::format("k{}", i), "1");
  change({}, "");
  Principal limited = *Principal::unrestricted();
  limited.budget = std::make_shared<Budget>(BudgetRates{.replay_bytes = 10}, clock_);
  const auto peer = connect(WireForm::kJson, std::make_shared<const Principal>(std::move(limited)));
  EXPECT_EQ(ops(say(*peer, watch("w"))), "rows w");
  const auto seen = say(*peer, query("q"));
  ASSERT_EQ(ops(seen), "error");
  EXPECT_EQ(seen[0].field("code"), "rate_limited");
  pass_ms(250);
  EXPECT_EQ(ops(say(*peer, query("r"))), "");
  EXPECT_EQ(projections_.queries.size(), 1U) << "a debt of less than a second is none";
  pass_ms(10'000);
  EXPECT_EQ(ops(heard(*peer)).substr(0, 6), "rows w");
}

class SessionQueryLimitTest : public ProjectionFixture {
 protected:
  static SessionLimits few() {
    SessionLimits limits;
    limits.subscriptions = 2;
    limits.selected_bytes = 8;
    limits.queries_in_flight = 2;
    limits.batch_bytes = 100;
    return limits;
  }
  SessionQueryLimitTest() : ProjectionFixture(few()) {}
};

TEST_F(SessionQueryLimitTest, CountsWatchesAmongSubscriptions) {
  const auto peer = connect();
  say(*peer, watch("1"));
  ask(*peer, R"({"op":"subscribe","id":"2","streams":[">"]})");
  for (const auto& seen :
       {say(*peer, watch("3")), ask(*peer, R"({"op":"subscribe","id":"3","streams":[">"]})")}) {
    ASSERT_EQ(ops(seen), "error 3");
    EXPECT_EQ(seen[0].field("code"), "limit");
  }
}

TEST_F(SessionQueryLimitTest, BoundsTheKeysOfAConnection) {
  const auto peer = connect();
  v1::ClientMessage message = watch("1");
  message.mutable_watch()->mutable_selection()->add_keys("12345");
  EXPECT_EQ(ops(say(*peer, message)), "snapshot_end 1");
  message.mutable_watch()->set_id("2");
  const auto seen = say(*peer, message);
  ASSERT_EQ(ops(seen), "error 2");
  EXPECT_EQ(seen[0].field("code"), "limit");
}

TEST_F(SessionQueryLimitTest, BoundsTheQueriesInFlight) {
  const auto peer = connect();
  for (const char* const name : {"q1", "q2", "q3"}) peer->say(query(name));
  auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "error");
  EXPECT_EQ(seen[0].field("request"), "q3");
  EXPECT_EQ(seen[0].field("code"), "overloaded");
  projections_.queries.front().done(RowPage{});
  EXPECT_EQ(heard(*peer)[0].field("request"), "q1");
  EXPECT_EQ(ops(say(*peer, query("q3"))), "");
  EXPECT_EQ(projections_.queries.size(), 3U);
}

TEST_F(SessionQueryLimitTest, CutsAPageThatIsTooLargeForAMessage) {
  const auto peer = connect();
  peer->say(query("q"));
  RowPage page;
  for (const char* const key : {"a", "b", "c"}) {
    page.rows.push_back({key, '"' + std::string(50, 'v') + '"', 1});
  }
  projections_.queries.front().done(page);
  auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "query_result");
  ASSERT_EQ(seen[0].rows.size(), 1U);
  v1::ClientMessage more = query("r");
  more.mutable_query()->set_page_token(seen[0].field("next"));
  peer->say(more);
  EXPECT_EQ(projections_.queries.at(1).request.query.after, "a");
}

}  // namespace
}  // namespace tidegate::test
