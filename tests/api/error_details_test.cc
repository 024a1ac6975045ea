#include "gateway/api/error_details.h"

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

TEST(ErrorDetailsTest, EveryCodeHasItsStatusAndReason) {
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    const Code code = static_cast<Code>(i);
    const Failure failure = failure_of(to_grpc_status({code, "text"}));
    EXPECT_EQ(failure.reason, code_info(code).name);
    EXPECT_EQ(static_cast<int>(failure.code), code_info(code).grpc_status) << failure.reason;
    EXPECT_EQ(failure.message, "text");
  }
}

TEST(ErrorDetailsTest, EveryKindOfDetailHasItsPlace) {
  using Kind = ErrorDetail::Kind;
  const Failure failure = failure_of(to_grpc_status({Code::kCheckFailed,
                                                     "two checks",
                                                     {{Kind::kRevision, "a", "is 3"},
                                                      {Kind::kAbsent, "b", "is 1"},
                                                      {Kind::kPresent, "c", "is not"},
                                                      {Kind::kField, "events[1].stream", "bad"},
                                                      {Kind::kFact, "floor", "17"}},
                                                     1250}));
  EXPECT_EQ(failure.code, grpc::FAILED_PRECONDITION);
  EXPECT_EQ(failure.checks, (std::vector<std::string>{"REVISION a", "ABSENT b", "PRESENT c"}));
  EXPECT_EQ(failure.fields, std::vector<std::string>{"events[1].stream"});
  EXPECT_EQ(failure.facts, (std::map<std::string, std::string>{{"floor", "17"}}));
  EXPECT_EQ(failure.retry_ms, 1250);
}

TEST(ErrorDetailsTest, CapacityRefusalsAlwaysAdviseADelay) {
  for (const Code code : {Code::kOverloaded, Code::kRateLimited, Code::kDiskLow}) {
    EXPECT_EQ(failure_of(to_grpc_status({code, "full"})).retry_ms, kRetryAfterDefaultMs);
  }
  EXPECT_EQ(failure_of(to_grpc_status({Code::kBadEvent, "bad"})).retry_ms, 0);
}

TEST(ErrorDetailsTest, WhatDoesNotFitIsCounted) {
  Error error{Code::kCheckFailed, "many"};
  for (int i = 0; i < 64; ++i) {
    error.details.push_back({ErrorDetail::Kind::kRevision, std::string(255, 'a'), "is 7"});
  }
  const grpc::Status status = to_grpc_status(error);
  EXPECT_LE(status.error_details().size(), kErrorDetailsBytesMax);
  const Failure failure = failure_of(status);
  EXPECT_GT(failure.checks.size(), 10u);
  EXPECT_EQ(failure.facts.at("left_off"), std::to_string(64 - failure.checks.size()));
}

TEST(ErrorDetailsTest, TextThatIsNotUtf8StaysReadable) {
  const Failure failure = failure_of(to_grpc_status(
      {Code::kBadPosition, "bad \xff\xfe text", {{ErrorDetail::Kind::kField, "a\xff", "\xc3"}}}));
  EXPECT_EQ(failure.reason, "bad_position");
  EXPECT_EQ(failure.message, "bad ?? text");
  EXPECT_EQ(failure.fields, std::vector<std::string>{"a?"});
}

TEST(ErrorDetailsTest, ALongMessageIsCutBetweenCharacters) {
  std::string text(kErrorMessageBytesMax - 1, 'x');
  text += "\u00e9 and more";
  const grpc::Status status = to_grpc_status({Code::kBadEvent, text});
  EXPECT_EQ(status.error_message(), std::string(kErrorMessageBytesMax - 1, 'x'));
}

}  // namespace
}  // namespace tidegate::test
