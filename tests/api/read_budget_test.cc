// Reads that use up what their subject may read per second.

#include "gateway/delivery/budget.h"
#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

class ReadBudgetTest : public ApiTest {
 protected:
  static constexpr int kDataBytes = 200;
  using Reader = std::unique_ptr<grpc::ClientReader<v1::ReadResponse>>;

  // A log of three chunks, none of which is in memory.
  void SetUp() override {
    std::vector<NewEvent> events;
    for (int i = 0; i < 3000; ++i) {
      events.push_back(EventBuilder{.id = std::to_string(i),
                                    .stream = "orders.1",
                                    .data = '"' + std::string(kDataBytes, 'x') + '"'}
                           .build());
      if (events.size() == 1000) ASSERT_TRUE(publish(std::exchange(events, {})));
    }
    close();
    start();
  }

  // Somebody whose token is the name.
  void know(const std::string& name, std::uint64_t replay_bytes_per_second) {
    Principal made;
    made.owner = made.subject = name;
    made.subscribe = {*Pattern::parse(">")};
    made.budget =
        std::make_shared<Budget>(BudgetRates{.replay_bytes = replay_bytes_per_second}, steady_);
    authority_.know(name, std::move(made));
  }
  Reader begin(grpc::ClientContext& context, const std::string& name, std::uint64_t limit = 0,
               std::chrono::milliseconds patience = kDeadline) {
    context.set_deadline(std::chrono::system_clock::now() + patience);
    context.AddMetadata("authorization", "Bearer " + name);
    v1::ReadRequest request;
    request.set_limit(limit);
    return events_->Read(&context, request);
  }
  // How many events come.
  static int take_all(grpc::ClientReader<v1::ReadResponse>& reader) {
    v1::ReadResponse message;
    int events = 0;
    while (reader.Read(&message)) events += message.events_size();
    EXPECT_EQ(failure_of(reader.Finish()).reason, "ok");
    return events;
  }
  // Reads the first message of a subject that may then read nothing more for days.
  Reader begin_waiting(grpc::ClientContext& context) {
    know("slow", 1);
    Reader reader = begin(context, "slow");
    v1::ReadResponse first;
    EXPECT_TRUE(reader->Read(&first));
    EXPECT_LT(first.events_size(), 1024);  // more of the chunk that was paid for is to come
    return reader;
  }

  SystemClock steady_;
};

TEST_F(ReadBudgetTest, AReadIsNotFasterThanItsBudget) {
  constexpr int kRate = 1400 * kDataBytes;
  know("ann", kRate);
  const std::int64_t begun_ms = steady_.steady_ms();
  grpc::ClientContext context;
  EXPECT_EQ(take_all(*begin(context, "ann")), 3000);
  const std::int64_t took_ms = steady_.steady_ms() - begun_ms;
  // A second's worth may come at once. The last chunk comes when the two before it are paid for.
  EXPECT_GE(took_ms, (2000 * kDataBytes - kRate) * 1000 / kRate);
}

TEST_F(ReadBudgetTest, AWaitingReadHoldsNobodyUp) {
  grpc::ClientContext slow;
  const Reader waiting = begin_waiting(slow);
  know("ben", 0);
  grpc::ClientContext context;
  EXPECT_EQ(take_all(*begin(context, "ben")), 3000);
  slow.TryCancel();
  EXPECT_EQ(waiting->Finish().error_code(), grpc::CANCELLED);
}

TEST_F(ReadBudgetTest, AWaitingReadEndsWhenItIsCancelled) {
  grpc::ClientContext context;
  const Reader waiting = begin_waiting(context);
  context.TryCancel();
  EXPECT_TRUE(eventually([&] { return calls_.all().count("EventService/Read CANCELLED") == 1; }));
  waiting->Finish();
}

TEST_F(ReadBudgetTest, AWaitingReadEndsWithItsToken) {
  grpc::ClientContext context;
  const Reader waiting = begin_waiting(context);
  authority_.revoke("slow");
  v1::ReadResponse message;
  int events = 0;
  while (waiting->Read(&message)) events += message.events_size();
  EXPECT_LT(events, 1024);
  EXPECT_EQ(failure_of(waiting->Finish()).reason, "forbidden");
}

TEST_F(ReadBudgetTest, AWaitingReadEndsWithTheServer) {
  grpc::ClientContext context;
  const Reader waiting = begin_waiting(context);
  stop();
  v1::ReadResponse message;
  EXPECT_FALSE(waiting->Read(&message));
  EXPECT_FALSE(waiting->Finish().ok());
}

TEST_F(ReadBudgetTest, ShortReadsPayForWhatTheyMadeTheServerRead) {
  know("ann", 1);
  grpc::ClientContext first;
  EXPECT_EQ(take_all(*begin(first, "ann", 1)), 1);
  grpc::ClientContext second;
  const Reader reader = begin(second, "ann", 1, std::chrono::milliseconds(200));
  v1::ReadResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_EQ(reader->Finish().error_code(), grpc::DEADLINE_EXCEEDED);
}

TEST_F(ReadBudgetTest, WhatIsInMemoryCostsNothing) {
  put(publish_request("orders.2", "new", 100));
  know("ann", 1);
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer ann");
    set_deadline(context);
    v1::ReadRequest request;
    request.mutable_start()->set_after_sequence(3000);
    EXPECT_EQ(take_all(*events_->Read(&context, request)), 100);
  }
}

}  // namespace
}  // namespace tidegate::test
