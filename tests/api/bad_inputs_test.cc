#include <functional>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

// What a publish request may get wrong -----------------------------------------------------------

struct BadPublish {
  const char* name;
  std::function<void(v1::PublishRequest&)> spoil;  // a request with two good events
  const char* reason;
  const char* field;
};

v1::CloudEvent& first_event(v1::PublishRequest& request) {
  return *request.mutable_events(0)->mutable_event();
}

void set_text_attribute(v1::PublishRequest& request, const std::string& name,
                        const std::string& value) {
  (*first_event(request).mutable_attributes())[name].set_ce_string(value);
}

class BadPublishTest : public ApiTest, public ::testing::WithParamInterface<BadPublish> {};

TEST_P(BadPublishTest, IsRefusedAsAWhole) {
  v1::PublishRequest request = publish_request("orders.1", "a", 2);
  GetParam().spoil(request);
  const Failure failure = send(request);
  EXPECT_EQ(failure.code, grpc::INVALID_ARGUMENT) << failure.message;
  EXPECT_EQ(failure.reason, GetParam().reason) << failure.message;
  ASSERT_FALSE(failure.fields.empty()) << failure.message;
  EXPECT_EQ(failure.fields.front(), GetParam().field) << failure.message;
  EXPECT_EQ(store().tail().head(), 0u);
  put(publish_request("orders.1", "b", 1));
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, BadPublishTest,
    ::testing::Values(
        BadPublish{"no_events", [](auto& r) { r.clear_events(); }, "bad_argument", "events"},
        BadPublish{"too_many_events", [](auto& r) { r = publish_request("orders.1", "a", 1001); },
                   "batch_too_large", "events"},
        BadPublish{"too_many_bytes",
                   [](auto& r) {
                     r = publish_request("orders.1", "a", 5);
                     for (auto& event : *r.mutable_events()) {
                       event.mutable_event()->set_text_data('"' + std::string(900'000, 'x') + '"');
                     }
                   },
                   "batch_too_large", "events"},
        BadPublish{
            "large_event",
            [](auto& r) { first_event(r).set_text_data('"' + std::string(1 << 20, 'x') + '"'); },
            "event_too_large", "events[0].event"},
        BadPublish{"no_stream", [](auto& r) { r.mutable_events(0)->clear_stream(); },
                   "bad_argument", "events[0].stream"},
        BadPublish{"wildcard", [](auto& r) { r.mutable_events(1)->set_stream("orders.*"); },
                   "bad_argument", "events[1].stream"},
        BadPublish{"space", [](auto& r) { r.mutable_events(0)->set_stream("orders 1"); },
                   "bad_argument", "events[0].stream"},
        BadPublish{"nul", [](auto& r) { r.mutable_events(0)->set_stream(std::string("a\0b", 3)); },
                   "bad_argument", "events[0].stream"},
        BadPublish{"reserved_dollar", [](auto& r) { r.mutable_events(0)->set_stream("$sys.x"); },
                   "bad_argument", "events[0].stream"},
        BadPublish{"reserved_underscore", [](auto& r) { r.mutable_events(0)->set_stream("_x"); },
                   "bad_argument", "events[0].stream"},
        BadPublish{"long_stream",
                   [](auto& r) { r.mutable_events(0)->set_stream(std::string(256, 'a')); },
                   "bad_argument", "events[0].stream"},
        BadPublish{"no_id", [](auto& r) { first_event(r).clear_id(); }, "bad_event",
                   "events[0].event.id"},
        BadPublish{"no_source", [](auto& r) { first_event(r).clear_source(); }, "bad_event",
                   "events[0].event.source"},
        BadPublish{"no_type", [](auto& r) { first_event(r).clear_type(); }, "bad_event",
                   "events[0].event.type"},
        BadPublish{"long_id", [](auto& r) { first_event(r).set_id(std::string(257, 'x')); },
                   "bad_event", "events[0].event.id"},
        BadPublish{"spec_version", [](auto& r) { first_event(r).set_spec_version("0.3"); },
                   "bad_event", "events[0].event.specversion"},
        BadPublish{"bad_json", [](auto& r) { first_event(r).set_text_data("{\"a\":"); },
                   "bad_event", "events[0].event.data"},
        BadPublish{"unknown_check", [](auto& r) { r.add_checks()->set_stream("orders.1"); },
                   "bad_argument", "checks[0]"},
        BadPublish{"check_stream",
                   [](auto& r) {
                     r.add_checks()->set_stream("orders.>");
                     r.mutable_checks(0)->set_absent(true);
                   },
                   "bad_argument", "checks[0].stream"},
        BadPublish{"check_absent_false",
                   [](auto& r) {
                     r.add_checks()->set_stream("orders.1");
                     r.mutable_checks(0)->set_absent(false);
                   },
                   "bad_argument", "checks[0].absent"},
        BadPublish{"too_many_checks",
                   [](auto& r) {
                     for (int i = 0; i < 65; ++i) {
                       v1::Check* check = r.add_checks();
                       check->set_stream("orders.1");
                       check->set_absent(true);
                     }
                   },
                   "limit", "checks"},
        BadPublish{"durability", [](auto& r) { r.set_durability(static_cast<v1::Durability>(9)); },
                   "bad_argument", "durability"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST_F(ApiTest, AttributesThatAreNoneAreRefused) {
  for (const char* name : {"Upper", "with-dash", "", "averyveryverylongname1234567890", "data"}) {
    v1::PublishRequest request = publish_request("orders.1", "a", 1);
    set_text_attribute(request, name, "x");
    EXPECT_EQ(send(request).reason, "bad_event") << name;
  }
  v1::PublishRequest request = publish_request("orders.1", "a", 1);
  (*first_event(request).mutable_attributes())["time"].mutable_ce_timestamp()->set_seconds(
      1'000'000'000'000);
  EXPECT_EQ(send(request).reason, "bad_event");
  request = publish_request("orders.1", "a", 1);
  first_event(request).mutable_proto_data()->set_type_url("x/y");
  EXPECT_EQ(send(request).reason, "unsupported");
  EXPECT_EQ(store().tail().head(), 0u);
}

// What a read request may get wrong --------------------------------------------------------------

struct BadRead {
  const char* name;
  std::function<void(v1::ReadRequest&)> spoil;
  const char* reason;
  const char* field;  // null: whichever
};

class BadReadTest : public ApiTest, public ::testing::WithParamInterface<BadRead> {};

TEST_P(BadReadTest, IsRefused) {
  put(publish_request("orders.1", "a", 3));
  v1::ReadRequest request;
  GetParam().spoil(request);
  grpc::ClientContext context;
  set_deadline(context);
  const auto reader = events_->Read(&context, request);
  v1::ReadResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const Failure failure = failure_of(reader->Finish());
  EXPECT_EQ(failure.reason, GetParam().reason) << failure.message;
  if (GetParam().field != nullptr) {
    ASSERT_FALSE(failure.fields.empty());
    EXPECT_EQ(failure.fields.front(), GetParam().field);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, BadReadTest,
    ::testing::Values(
        BadRead{"pattern", [](auto& r) { r.mutable_filter()->add_streams("a..b"); }, "bad_pattern",
                nullptr},
        BadRead{"inner_wildcard", [](auto& r) { r.mutable_filter()->add_streams("a.>.b"); },
                "bad_pattern", nullptr},
        BadRead{"many_patterns",
                [](auto& r) {
                  for (int i = 0; i < 33; ++i)
                    r.mutable_filter()->add_streams("a." + std::to_string(i));
                },
                "limit", nullptr},
        BadRead{"no_place", [](auto& r) { r.mutable_start(); }, "bad_argument", "start"},
        BadRead{"position", [](auto& r) { r.mutable_start()->set_after("abc.5.zz"); },
                "bad_position", "start.after"},
        BadRead{"edge", [](auto& r) { r.mutable_start()->set_edge(v1::EDGE_UNSPECIFIED); },
                "bad_argument", "start.edge"},
        BadRead{"last_zero", [](auto& r) { r.mutable_start()->set_last(0); }, "bad_argument",
                "start.last"},
        BadRead{"last_many", [](auto& r) { r.mutable_start()->set_last(10'001); }, "bad_argument",
                "start.last"},
        BadRead{"last_backward",
                [](auto& r) {
                  r.mutable_start()->set_last(2);
                  r.set_direction(v1::DIRECTION_BACKWARD);
                },
                "bad_argument", "start.last"},
        BadRead{"early_time",
                [](auto& r) { r.mutable_start()->mutable_from_time()->set_seconds(-1); },
                "bad_argument", "start.from_time"},
        BadRead{"late_time",
                [](auto& r) { r.mutable_until_time()->set_seconds(std::int64_t{1} << 60); },
                "bad_argument", "until_time"},
        BadRead{"nanos", [](auto& r) { r.mutable_until_time()->set_nanos(1'000'000'000); },
                "bad_argument", "until_time"},
        BadRead{"direction", [](auto& r) { r.set_direction(static_cast<v1::Direction>(7)); },
                "bad_argument", "direction"},
        BadRead{"ahead", [](auto& r) { r.mutable_start()->set_after_sequence(99); },
                "history_mismatch", nullptr}),
    [](const auto& each) { return std::string(each.param.name); });

// What a query of a projection may get wrong -----------------------------------------------------

struct BadQuery {
  const char* name;
  std::function<void(v1::QueryProjectionRequest&)> spoil;
  const char* reason;
  const char* field;
};

class BadQueryTest : public ApiTest, public ::testing::WithParamInterface<BadQuery> {};

TEST_P(BadQueryTest, IsRefused) {
  v1::QueryProjectionRequest request;
  request.set_name("orders");
  GetParam().spoil(request);
  v1::QueryProjectionResponse response;
  const Failure failure = call(*projections_, &ProjectionStub::QueryProjection, request, response);
  EXPECT_EQ(failure.code, grpc::INVALID_ARGUMENT) << failure.message;
  EXPECT_EQ(failure.reason, GetParam().reason) << failure.message;
  ASSERT_FALSE(failure.fields.empty()) << failure.message;
  EXPECT_EQ(failure.fields.front(), GetParam().field) << failure.message;
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, BadQueryTest,
    ::testing::Values(
        BadQuery{"no_name", [](auto& r) { r.clear_name(); }, "bad_argument", "name"},
        BadQuery{"wildcard", [](auto& r) { r.set_name("*"); }, "bad_argument", "name"},
        BadQuery{"space", [](auto& r) { r.set_name("a b"); }, "bad_argument", "name"},
        BadQuery{"long_name", [](auto& r) { r.set_name(std::string(129, 'a')); }, "bad_argument",
                 "name"},
        BadQuery{"keys_and_prefix",
                 [](auto& r) {
                   r.mutable_selection()->add_keys("a");
                   r.mutable_selection()->set_prefix("b");
                 },
                 "bad_argument", "selection"},
        BadQuery{"many_keys",
                 [](auto& r) {
                   for (int i = 0; i <= 1000; ++i)
                     r.mutable_selection()->add_keys(std::to_string(i));
                 },
                 "bad_argument", "selection"},
        BadQuery{"long_key",
                 [](auto& r) { r.mutable_selection()->add_keys(std::string(513, 'a')); },
                 "bad_argument", "selection"},
        BadQuery{"page_size", [](auto& r) { r.set_page_size(10'001); }, "bad_argument",
                 "page_size"},
        BadQuery{"page_token", [](auto& r) { r.set_page_token("a1"); }, "bad_argument",
                 "page_token"},
        BadQuery{"long_page_token", [](auto& r) { r.set_page_token('>' + std::string(513, 'a')); },
                 "bad_argument", "page_token"},
        BadQuery{"wait", [](auto& r) { r.set_wait_ms(60'001); }, "bad_argument", "wait_ms"},
        BadQuery{"position", [](auto& r) { r.set_min_position("abc"); }, "bad_position",
                 "min_position"}),
    [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace tidegate::test
