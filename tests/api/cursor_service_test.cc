#include <atomic>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

using Stub = v1::CursorService::Stub;

class CursorServiceTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    owners_ = {""};
    put(publish_request("orders.1", "a", 10));
  }
  Failure seek(const std::string& name, const v1::Start& to, v1::SeekCursorResponse& response,
               bool dry_run = false) {
    v1::SeekCursorRequest request;
    request.set_name(name);
    *request.mutable_to() = to;
    request.set_dry_run(dry_run);
    return call(*cursors_, &Stub::SeekCursor, request, response);
  }
  v1::Cursor seek_to(const std::string& name, std::uint64_t sequence) {
    v1::Start to;
    to.set_after_sequence(sequence);
    v1::SeekCursorResponse response;
    EXPECT_EQ(seek(name, to, response).reason, "ok");
    return response.cursor();
  }
  Failure find(const std::string& name, v1::Cursor& cursor) {
    v1::GetCursorRequest request;
    request.set_name(name);
    v1::GetCursorResponse response;
    const Failure failure = call(*cursors_, &Stub::GetCursor, request, response);
    cursor = response.cursor();
    return failure;
  }
};

TEST_F(CursorServiceTest, SeekingCreatesAndMovesACursor) {
  v1::Cursor cursor = seek_to("billing", 4);
  EXPECT_EQ(cursor.name(), "billing");
  EXPECT_EQ(cursor.sequence(), 4u);
  EXPECT_EQ(cursor.behind(), 6u);
  EXPECT_EQ(cursor.position(), store().reader().position_at(4)->text());
  EXPECT_FALSE(cursor.lapsed());
  EXPECT_EQ(cursor.acknowledged().seconds(), TestClock::kStart / 1'000'000);
  const std::uint64_t generation = cursor.generation();
  v1::Start head;
  head.set_edge(v1::EDGE_HEAD);
  v1::SeekCursorResponse response;
  EXPECT_EQ(seek("billing", head, response).reason, "ok");
  EXPECT_EQ(response.previous_position(), cursor.position());
  EXPECT_EQ(response.cursor().sequence(), 10u);
  EXPECT_GT(response.cursor().generation(), generation);
  EXPECT_EQ(find("billing", cursor).reason, "ok");
  EXPECT_EQ(cursor.sequence(), 10u);
  EXPECT_EQ(cursor.behind(), 0u);
}

TEST_F(CursorServiceTest, ADryRunMovesNothing) {
  seek_to("billing", 4);
  v1::Start start;
  start.set_edge(v1::EDGE_START);
  v1::SeekCursorResponse response;
  EXPECT_EQ(seek("billing", start, response, true).reason, "ok");
  EXPECT_EQ(response.cursor().sequence(), 0u);
  EXPECT_EQ(response.cursor().behind(), 10u);
  v1::Cursor cursor;
  EXPECT_EQ(find("billing", cursor).reason, "ok");
  EXPECT_EQ(cursor.sequence(), 4u);
  EXPECT_EQ(seek("unknown", start, response, true).reason, "ok");
  EXPECT_EQ(find("unknown", cursor).reason, "not_found");
}

TEST_F(CursorServiceTest, SeekingEndsTheOpenSubscription) {
  std::atomic<bool> is_taken_over = false;
  ASSERT_TRUE(store().cursors().open("", "billing", [&] { is_taken_over = true; }));
  seek_to("billing", 3);
  EXPECT_TRUE(is_taken_over);
}

TEST_F(CursorServiceTest, ACursorBelowTheFloorHasLapsed) {
  seek_to("old", 2);
  seek_to("new", 8);
  store().wait_for_index();
  ASSERT_TRUE(store().trim(6));
  ASSERT_GT(store().floor(), 3u);
  v1::Cursor cursor;
  EXPECT_EQ(find("old", cursor).reason, "ok");
  EXPECT_TRUE(cursor.lapsed());
  EXPECT_EQ(find("new", cursor).reason, "ok");
  EXPECT_FALSE(cursor.lapsed());
  v1::Start start;
  start.set_after_sequence(1);
  v1::SeekCursorResponse response;
  EXPECT_EQ(seek("old", start, response).reason, "trimmed");
  EXPECT_FALSE(seek_to("old", 9).lapsed());
}

TEST_F(CursorServiceTest, ListsInPagesByPrefix) {
  for (const char* name : {"b.1", "a.1", "b.3", "b.2", "c"}) seek_to(name, 1);
  v1::ListCursorsRequest request;
  request.set_prefix("b.");
  request.set_page_size(2);
  v1::ListCursorsResponse page;
  EXPECT_EQ(call(*cursors_, &Stub::ListCursors, request, page).reason, "ok");
  ASSERT_EQ(page.cursors_size(), 2);
  EXPECT_EQ(page.cursors(0).name(), "b.1");
  EXPECT_EQ(page.cursors(1).name(), "b.2");
  request.set_page_token(page.next_page_token());
  EXPECT_EQ(call(*cursors_, &Stub::ListCursors, request, page).reason, "ok");
  ASSERT_EQ(page.cursors_size(), 1);
  EXPECT_EQ(page.cursors(0).name(), "b.3");
  EXPECT_TRUE(page.next_page_token().empty());
}

TEST_F(CursorServiceTest, DeletesACursorOnce) {
  seek_to("billing", 4);
  v1::DeleteCursorRequest request;
  request.set_name("billing");
  v1::DeleteCursorResponse response;
  EXPECT_EQ(call(*cursors_, &Stub::DeleteCursor, request, response).reason, "ok");
  const Failure failure = call(*cursors_, &Stub::DeleteCursor, request, response);
  EXPECT_EQ(failure.reason, "not_found");
  EXPECT_EQ(failure.code, grpc::NOT_FOUND);
}

TEST_F(CursorServiceTest, BadSeeksAreRefused) {
  v1::SeekCursorResponse response;
  v1::Start to;
  to.set_last(5);
  EXPECT_EQ(seek("billing", to, response).fields, std::vector<std::string>{"to.last"});
  EXPECT_EQ(seek("billing", {}, response).fields, std::vector<std::string>{"to"});
  to.set_after("nonsense");
  EXPECT_EQ(seek("billing", to, response).reason, "bad_position");
  to.set_after_sequence(11);
  EXPECT_EQ(seek("billing", to, response).reason, "history_mismatch");
  to.set_after_sequence(5);
  for (const char* name : {"", "a b", "../x", "a..b", "a.*"}) {
    const Failure failure = seek(name, to, response);
    EXPECT_EQ(failure.reason, "bad_argument") << name;
    EXPECT_EQ(failure.fields, std::vector<std::string>{"name"});
  }
  v1::Cursor cursor;
  EXPECT_EQ(find("billing", cursor).reason, "not_found");
}

}  // namespace
}  // namespace tidegate::test
