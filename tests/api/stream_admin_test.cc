#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

class StreamServiceTest : public ApiTest {};

TEST_F(StreamServiceTest, TellsOneStream) {
  put(publish_request("orders.1", "a", 3));
  clock_.advance_us(5'000'000);
  put(publish_request("orders.1", "b", 1));
  v1::GetStreamRequest request;
  request.set_name("orders.1");
  v1::GetStreamResponse response;
  EXPECT_EQ(call(*streams_, &v1::StreamService::Stub::GetStream, request, response).reason, "ok");
  EXPECT_EQ(response.stream().name(), "orders.1");
  EXPECT_EQ(response.stream().first_revision(), 1u);
  EXPECT_EQ(response.stream().last_revision(), 4u);
  EXPECT_EQ(response.stream().last_sequence(), 4u);
  EXPECT_EQ(response.stream().last_time().seconds(), TestClock::kStart / 1'000'000 + 5);
  request.set_name("orders.2");
  EXPECT_EQ(call(*streams_, &v1::StreamService::Stub::GetStream, request, response).reason,
            "not_found");
  request.set_name("orders.>");
  EXPECT_EQ(call(*streams_, &v1::StreamService::Stub::GetStream, request, response).reason,
            "bad_argument");
}

TEST_F(StreamServiceTest, ListsInPagesByPrefix) {
  for (const char* stream : {"b.2", "a", "b.1", "c", "b.3"})
    put(publish_request(stream, stream, 1));
  v1::ListStreamsRequest request;
  request.set_prefix("b");
  request.set_page_size(2);
  std::vector<std::string> names;
  v1::ListStreamsResponse page;
  for (int pages = 1;; ++pages) {
    EXPECT_EQ(call(*streams_, &v1::StreamService::Stub::ListStreams, request, page).reason, "ok");
    for (const v1::Stream& stream : page.streams()) names.push_back(stream.name());
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) {
      EXPECT_EQ(pages, 2);
      break;
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"b.1", "b.2", "b.3"}));
  request.set_page_size(1001);
  EXPECT_EQ(call(*streams_, &v1::StreamService::Stub::ListStreams, request, page).fields,
            std::vector<std::string>{"page_size"});
}

class AdminServiceTest : public ApiTest {
 protected:
  using Stub = v1::AdminService::Stub;

  v1::GetStatusResponse status() {
    v1::GetStatusResponse response;
    EXPECT_EQ(call(*admin_, &Stub::GetStatus, {}, response).reason, "ok");
    return response;
  }
  Failure trim(const v1::Start& before, v1::TrimLogResponse& response, bool dry_run = false) {
    store().wait_for_index();
    v1::TrimLogRequest request;
    *request.mutable_before() = before;
    request.set_dry_run(dry_run);
    return call(*admin_, &Stub::TrimLog, request, response);
  }
  std::vector<v1::VerifyLogResponse> verify(Failure& failure) {
    grpc::ClientContext context;
    set_deadline(context);
    const auto reader = admin_->VerifyLog(&context, {});
    std::vector<v1::VerifyLogResponse> all;
    v1::VerifyLogResponse response;
    while (reader->Read(&response)) all.push_back(response);
    failure = failure_of(reader->Finish());
    return all;
  }
};

TEST_F(AdminServiceTest, TellsTheStatus) {
  put(publish_request("orders.1", "a", 3));
  const v1::GetStatusResponse response = status();
  EXPECT_EQ(response.version(), "1.2.3");
  EXPECT_EQ(response.state(), "serving");
  EXPECT_EQ(response.connections(), 11u);
  EXPECT_EQ(response.subscriptions(), 22u);
  EXPECT_EQ(response.behind(), 3u);
  EXPECT_EQ(response.position(), store().reader().position_at(3)->text());
  EXPECT_GT(response.started().seconds(), 0);
  EXPECT_GT(response.disk_free_bytes(), 0u);
  for (const char* library : {"rocksdb", "grpc", "protobuf", "fmt"}) {
    EXPECT_EQ(response.libraries().count(library), 1u) << library;
  }
  server_->begin_drain();
  EXPECT_EQ(status().state(), "draining");
}

TEST_F(AdminServiceTest, TellsTheLog) {
  put(publish_request("orders.1", "a", 3));
  v1::GetLogResponse response;
  EXPECT_EQ(call(*admin_, &Stub::GetLog, {}, response).reason, "ok");
  EXPECT_EQ(response.log_id(), store().log_id().text());
  EXPECT_EQ(response.head(), 3u);
  EXPECT_EQ(response.position(), store().reader().position_at(3)->text());
  EXPECT_EQ(response.floor(), 1u);
  ASSERT_EQ(response.lineage_size(), 1);
  EXPECT_EQ(response.lineage(0).log_id(), response.log_id());
}

TEST_F(AdminServiceTest, VerifiesTheLog) {
  for (int i = 0; i < 5; ++i) put(publish_request("orders.1", fmt::format("{}-", i), 1000));
  Failure failure;
  const auto messages = verify(failure);
  EXPECT_EQ(failure.reason, "ok") << failure.message;
  ASSERT_FALSE(messages.empty());
  EXPECT_TRUE(messages.back().done());
  EXPECT_EQ(messages.back().examined(), 5000u);
  EXPECT_TRUE(messages.back().problems().empty());
  for (std::size_t i = 0; i + 1 < messages.size(); ++i) EXPECT_FALSE(messages[i].done());
}

TEST_F(AdminServiceTest, ACancelledVerificationMakesRoomForTheNext) {
  for (int i = 0; i < 5; ++i) put(publish_request("orders.1", fmt::format("{}-", i), 1000));
  for (int round = 0; round < 5; ++round) {
    grpc::ClientContext context;
    const auto reader = admin_->VerifyLog(&context, {});
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  }
  // While the thread of a cancelled one ends, another may be refused; never for long.
  Failure failure;
  EXPECT_TRUE(eventually([&] {
    verify(failure);
    EXPECT_TRUE(failure.reason == "ok" || failure.reason == "overloaded") << failure.reason;
    return failure.reason == "ok";
  }));
}

TEST_F(AdminServiceTest, TrimsBeforeAPlace) {
  put(publish_request("orders.1", "a", 10));
  v1::TrimLogResponse response;
  v1::Start before;
  before.set_edge(v1::EDGE_START);
  EXPECT_EQ(trim(before, response).reason, "ok");
  EXPECT_EQ(response.floor(), 1u);
  EXPECT_EQ(response.removed(), 0u);
  before.set_after_sequence(4);
  EXPECT_EQ(trim(before, response, true).reason, "ok");
  EXPECT_EQ(response.floor(), 5u);
  EXPECT_EQ(response.removed(), 4u);
  EXPECT_EQ(store().floor(), 1u);
  EXPECT_EQ(trim(before, response).reason, "ok");
  EXPECT_EQ(response.floor(), 5u);
  EXPECT_EQ(response.removed(), 4u);
  EXPECT_EQ(store().floor(), 5u);
  // Below the floor there is nothing to do.
  before.set_after_sequence(1);
  EXPECT_EQ(trim(before, response).reason, "ok");
  EXPECT_EQ(response.floor(), 5u);
  EXPECT_EQ(response.removed(), 0u);
  before.set_edge(v1::EDGE_HEAD);
  EXPECT_EQ(trim(before, response).reason, "ok");
  EXPECT_EQ(response.floor(), 11u);
  EXPECT_EQ(response.removed(), 6u);
}

TEST_F(AdminServiceTest, TrimsByTime) {
  for (int i = 1; i <= 5; ++i) {
    clock_.advance_us(1'000'000);
    put(publish_request("orders.1", fmt::format("{}-", i), 1));
  }
  v1::Start before;
  before.mutable_from_time()->set_seconds(TestClock::kStart / 1'000'000 + 3);
  v1::TrimLogResponse response;
  EXPECT_EQ(trim(before, response).reason, "ok");
  EXPECT_EQ(response.floor(), 3u);
}

TEST_F(AdminServiceTest, BadTrimsAreRefused) {
  put(publish_request("orders.1", "a", 3));
  v1::TrimLogResponse response;
  v1::Start before;
  EXPECT_EQ(trim(before, response).fields, std::vector<std::string>{"before"});
  before.set_last(2);
  EXPECT_EQ(trim(before, response).fields, std::vector<std::string>{"before.last"});
  before.set_after_sequence(99);
  EXPECT_EQ(trim(before, response).reason, "history_mismatch");
  before.set_after(Position{LogId::random(), 2, 7}.text());
  EXPECT_EQ(trim(before, response).reason, "history_mismatch");
  EXPECT_EQ(store().floor(), 1u);
}

}  // namespace
}  // namespace tidegate::test
