// The messages of queries and watches in both wire forms.

#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "gateway/delivery/codec.h"

namespace tidegate {
namespace {

v1::ClientMessage decoded_json(std::string_view json) {
  ReplyTo reply_to;
  const auto message = decode_client_message(WireForm::kJson, json, reply_to);
  EXPECT_TRUE(message) << json << "\n" << (message ? "" : message.error().message);
  return message ? *message : v1::ClientMessage();
}

// "code [id] [request] message".
std::string refused(WireForm form, std::string_view bytes) {
  ReplyTo reply_to;
  const auto message = decode_client_message(form, bytes, reply_to);
  if (message) return "accepted";
  return std::string(code_info(message.error().code).name) + " [" + reply_to.id + "] [" +
         reply_to.request + "] " + message.error().message;
}

std::string json_of(const v1::ServerMessage& message) {
  return encode_server_message(WireForm::kJson, message);
}

void add_rows(google::protobuf::RepeatedPtrField<v1::ProjectionRow>& rows) {
  v1::ProjectionRow& there = *rows.Add();
  there.set_key("a\"b");
  there.set_document(R"({"n":1.50})");
  there.set_sequence(7);
  v1::ProjectionRow& removed = *rows.Add();
  removed.set_sequence(~0ULL);
}

TEST(CodecRowsTest, DecodesQuery) {
  const v1::ClientMessage message = decoded_json(
      R"({"op":"query","request":"q","projection":"p","keys":["a",""],"limit":5,"page_token":"kx",)"
      R"("min_position":"abc.5.0","wait_ms":100})");
  const v1::QueryOp& op = message.query();
  EXPECT_EQ(op.request(), "q");
  EXPECT_EQ(op.projection(), "p");
  ASSERT_EQ(op.selection().keys_size(), 2);
  EXPECT_EQ(op.selection().keys(1), "");
  EXPECT_EQ(op.limit(), 5U);
  EXPECT_EQ(op.page_token(), "kx");
  EXPECT_EQ(op.min_position(), "abc.5.0");
  EXPECT_EQ(op.wait_ms(), 100U);
  const v1::ClientMessage other = decoded_json(
      R"({"op":"query","request":"q","projection":"p","prefix":"x","min_position":9})");
  EXPECT_EQ(other.query().selection().prefix(), "x");
  EXPECT_EQ(other.query().min_sequence(), 9U);
  const v1::ClientMessage all =
      decoded_json(R"({"op":"query","request":"q","projection":"p","keys":null})");
  EXPECT_FALSE(all.query().has_selection());
}

TEST(CodecRowsTest, DecodesWatchUnwatchAndSnapshot) {
  const v1::ClientMessage watch = decoded_json(
      R"({"op":"watch","id":"w","projection":"p","prefix":"x.","after":"abc.5.0","version":3})");
  EXPECT_EQ(watch.watch().id(), "w");
  EXPECT_EQ(watch.watch().projection(), "p");
  EXPECT_EQ(watch.watch().selection().prefix(), "x.");
  EXPECT_EQ(watch.watch().after().position(), "abc.5.0");
  EXPECT_EQ(watch.watch().after().version(), 3U);
  EXPECT_FALSE(decoded_json(R"({"op":"watch","id":"w","projection":"p"})").watch().has_after());
  EXPECT_EQ(decoded_json(R"({"op":"unwatch","id":"w"})").unwatch().id(), "w");
  const v1::ClientMessage subscribe = decoded_json(
      R"({"op":"subscribe","id":"s","streams":["x"],"on_gap":"snapshot","projection":"p","keys":["a"]})");
  EXPECT_EQ(subscribe.subscribe().on_gap(), v1::ON_GAP_SNAPSHOT);
  EXPECT_EQ(subscribe.subscribe().projection(), "p");
  EXPECT_EQ(subscribe.subscribe().rows().keys(0), "a");
}

TEST(CodecRowsTest, RefusesWithTheNameOfWhatWasAsked) {
  const auto query = [](std::string_view fields) {
    return R"({"op":"query","request":"q","id":"x",)" + std::string(fields) + "}";
  };
  const auto watch = [](std::string_view fields) {
    return R"({"op":"watch","id":"w",)" + std::string(fields) + "}";
  };
  const std::pair<std::string, std::string> cases[] = {
      {query(R"("limit":1)"), "bad_message [] [q] projection: is missing"},
      {query(R"("projection":5)"), "bad_message [] [q] projection: must be a string"},
      {query(R"("projection":"p","keys":"a")"), "bad_message [] [q] keys: must be an array"},
      {query(R"("projection":"p","keys":[])"), "bad_message [] [q] keys: name at least one"},
      {query(R"("projection":"p","prefix":1)"), "bad_message [] [q] prefix: must be a string"},
      {query(R"("projection":"p","limit":-1)"), "bad_message [] [q] limit: must be an integer"},
      {query(R"("projection":"p","wait_ms":"1")"), "bad_message [] [q] wait_ms: must be"},
      {query(R"("projection":"p","page_token":1)"), "bad_message [] [q] page_token: must be"},
      {query(R"("projection":"p","min_position":true)"), "bad_message [] [q] min_position: "},
      {query(R"("projection":"p","min_position":"9")"), "bad_position [] [q] min_position: "},
      {R"({"op":"query","projection":"p"})", "bad_message [] [] request: must have 1 to 64"},
      {watch(R"("prefix":"a")"), "bad_message [w] [] projection: is missing"},
      {watch(R"("projection":"p","after":9,"version":1)"), "bad_message [w] [] after: must be"},
      {watch(R"("projection":"p","after":"9","version":1)"), "bad_position [w] [] after: "},
      {watch(R"("projection":"p","after":"abc.5.0")"), "bad_message [w] [] version: is missing"},
      {watch(R"("projection":"p","version":1)"), "bad_message [w] [] after: is missing"},
      {watch(R"("projection":"p","after":"abc.5.0","version":-1)"),
       "bad_message [w] [] version: must be an integer"},
      {R"({"op":"watch","projection":"p"})", "bad_message [] [] id: must have 1 to 64"},
      {R"({"op":"unwatch","id":""})", "bad_message [] [] id: must have 1 to 64"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_TRUE(refused(WireForm::kJson, json).starts_with(expected))
        << json << "\n"
        << refused(WireForm::kJson, json);
  }
}

TEST(CodecRowsTest, RefusesTheSameInTheProtoForm) {
  v1::ClientMessage watch;
  watch.mutable_watch()->set_id("w");
  EXPECT_TRUE(refused(WireForm::kProto, watch.SerializeAsString()).starts_with("bad_message [w]"));
  watch.mutable_watch()->set_projection("p");
  EXPECT_EQ(refused(WireForm::kProto, watch.SerializeAsString()), "accepted");
  watch.mutable_watch()->mutable_after()->set_position("abc.5.0");
  EXPECT_TRUE(refused(WireForm::kProto, watch.SerializeAsString()).starts_with("bad_message [w]"));
  watch.mutable_watch()->mutable_after()->set_version(1);
  EXPECT_EQ(refused(WireForm::kProto, watch.SerializeAsString()), "accepted");
  v1::ClientMessage query;
  query.mutable_query()->set_request("q");
  EXPECT_TRUE(
      refused(WireForm::kProto, query.SerializeAsString()).starts_with("bad_message [] [q]"));
  v1::ClientMessage unwatch;
  unwatch.mutable_unwatch();
  EXPECT_TRUE(refused(WireForm::kProto, unwatch.SerializeAsString()).starts_with("bad_message []"));
}

TEST(CodecRowsTest, EncodesRowsAsJson) {
  v1::ServerMessage message;
  v1::QueryResult& result = *message.mutable_query_result();
  result.set_request("q");
  result.set_position("p");
  result.set_version(2);
  EXPECT_EQ(json_of(message),
            R"({"op":"query_result","request":"q","rows":[],"position":"p","version":2})");
  add_rows(*result.mutable_rows());
  result.set_next("kx");
  EXPECT_EQ(json_of(message),
            R"({"op":"query_result","request":"q","rows":[{"key":"a\"b","value":{"n":1.50},)"
            R"("sequence":7},{"key":"","removed":true,"sequence":18446744073709551615}],)"
            R"("position":"p","version":2,"next":"kx"})");
  message.mutable_rows()->set_id("w");
  add_rows(*message.mutable_rows()->mutable_rows());
  EXPECT_EQ(json_of(message),
            R"({"op":"rows","id":"w","rows":[{"key":"a\"b","value":{"n":1.50},"sequence":7},)"
            R"({"key":"","removed":true,"sequence":18446744073709551615}]})");
}

TEST(CodecRowsTest, EncodesTheOtherMessagesOfWatches) {
  v1::ServerMessage message;
  const auto fill = [](auto& op) {
    op.set_id("w");
    op.set_position("p");
    op.set_version(3);
  };
  fill(*message.mutable_snapshot_end());
  EXPECT_EQ(json_of(message), R"({"op":"snapshot_end","id":"w","position":"p","version":3})");
  fill(*message.mutable_watch_position());
  EXPECT_EQ(json_of(message), R"({"op":"watch_position","id":"w","position":"p","version":3})");
  message.mutable_watch_reset()->set_id("w");
  EXPECT_EQ(json_of(message), R"({"op":"watch_reset","id":"w"})");
  message.mutable_unwatched()->set_id("w");
  message.mutable_unwatched()->set_reason("removed");
  EXPECT_EQ(json_of(message), R"({"op":"unwatched","id":"w","reason":"removed"})");
}

}  // namespace
}  // namespace tidegate
