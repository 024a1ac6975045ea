#include "tests/delivery/delivery_fixture.h"

#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tidegate::test {

namespace {

std::string quoted_list(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return fmt::format("[\"{}\"]", fmt::join(texts, "\",\""));
}

std::string start_text(const v1::Start& start) {
  switch (start.place_case()) {
    case v1::Start::kAfter:
      return fmt::format(R"(,"after":"{}")", start.after());
    case v1::Start::kAfterSequence:
      return fmt::format(R"(,"after":{})", start.after_sequence());
    case v1::Start::kEdge:
      return fmt::format(R"(,"from":"{}")", start.edge() == v1::EDGE_START ? "start" : "head");
    case v1::Start::kLast:
      return fmt::format(R"(,"last":{})", start.last());
    default:
      return {};
  }
}

std::string selection_text(const v1::RowSelection& selection) {
  std::string text;
  if (selection.keys_size() > 0) text += ",\"keys\":" + quoted_list(selection.keys());
  if (!selection.prefix().empty()) text += fmt::format(R"(,"prefix":"{}")", selection.prefix());
  return text;
}

std::string query_text(const v1::QueryOp& op) {
  std::string text = fmt::format(R"({{"op":"query","request":"{}","projection":"{}")", op.request(),
                                 op.projection());
  text += selection_text(op.selection());
  if (op.limit() > 0) text += fmt::format(R"(,"limit":{})", op.limit());
  if (op.wait_ms() > 0) text += fmt::format(R"(,"wait_ms":{})", op.wait_ms());
  if (!op.page_token().empty()) text += fmt::format(R"(,"page_token":"{}")", op.page_token());
  if (op.has_min_position()) text += fmt::format(R"(,"min_position":"{}")", op.min_position());
  if (op.has_min_sequence()) text += fmt::format(R"(,"min_position":{})", op.min_sequence());
  return text + "}";
}

std::string watch_text(const v1::WatchOp& op) {
  std::string text =
      fmt::format(R"({{"op":"watch","id":"{}","projection":"{}")", op.id(), op.projection());
  text += selection_text(op.selection());
  if (op.has_after()) {
    text +=
        fmt::format(R"(,"after":"{}","version":{})", op.after().position(), op.after().version());
  }
  return text + "}";
}

std::string subscribe_text(const v1::SubscribeOp& op) {
  std::string text = fmt::format(R"({{"op":"subscribe","id":"{}","streams":{})", op.id(),
                                 quoted_list(op.streams()));
  if (op.types_size() > 0) text += ",\"types\":" + quoted_list(op.types());
  text += start_text(op.start());
  if (!op.cursor().empty()) text += fmt::format(R"(,"cursor":"{}")", op.cursor());
  if (op.window() > 0) text += fmt::format(R"(,"window":{})", op.window());
  if (op.on_gap() == v1::ON_GAP_FLOOR) text += R"(,"on_gap":"floor")";
  if (op.on_gap() == v1::ON_GAP_SNAPSHOT) {
    text += fmt::format(R"(,"on_gap":"snapshot","projection":"{}")", op.projection());
    text += selection_text(op.rows());
  }
  return text + "}";
}

std::string ack_text(const v1::AckOp& op) {
  const std::string place = op.place_case() == v1::AckOp::kSequence
                                ? fmt::format("{}", op.sequence())
                                : fmt::format("\"{}\"", op.position());
  return fmt::format(R"({{"op":"ack","id":"{}","position":{}}})", op.id(), place);
}

std::string update_text(const v1::UpdateOp& op) {
  const std::string types =
      op.types_size() > 0 ? ",\"types\":" + quoted_list(op.types()) : std::string();
  return fmt::format(R"({{"op":"update","id":"{}","streams":{}{}}})", op.id(),
                     quoted_list(op.streams()), types);
}

}  // namespace

std::string write_client_message(WireForm form, const v1::ClientMessage& message) {
  if (form == WireForm::kProto) return message.SerializeAsString();
  switch (message.op_case()) {
    case v1::ClientMessage::kSubscribe:
      return subscribe_text(message.subscribe());
    case v1::ClientMessage::kAck:
      return ack_text(message.ack());
    case v1::ClientMessage::kUpdate:
      return update_text(message.update());
    case v1::ClientMessage::kUnsubscribe:
      return fmt::format(R"({{"op":"unsubscribe","id":"{}"}})", message.unsubscribe().id());
    case v1::ClientMessage::kQuery:
      return query_text(message.query());
    case v1::ClientMessage::kWatch:
      return watch_text(message.watch());
    case v1::ClientMessage::kUnwatch:
      return fmt::format(R"({{"op":"unwatch","id":"{}"}})", message.unwatch().id());
    default:
      ADD_FAILURE() << "not written in JSON by this helper";
      return {};
  }
}

Peer::Peer(DeliveryLoop& loop, WireForm wire_form, PrincipalRef principal)
    : form(wire_form), session_(loop.open(transport, form, std::move(principal), "c1")) {}

bool Peer::take_write() {
  if (!transport.is_writing()) return false;
  seen_.push_back(read_server_message(form, transport.finish_write()));
  if (session_) session_->on_written();
  return true;
}

std::vector<SeenMessage> Peer::take() {
  return std::exchange(seen_, {});
}

std::unique_ptr<Peer> DeliveryFixture::connect(WireForm form, PrincipalRef principal) {
  auto peer = std::make_unique<Peer>(*loop_, form, std::move(principal));
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "welcome");
  return peer;
}

void DeliveryFixture::settle_log() {
  while (loop_->dispatch() || log_.tasks() > 0) log_.run_tasks();
}

void DeliveryFixture::settle(Peer& peer) {
  do {
    settle_log();
  } while (peer.take_write());
}

std::vector<SeenMessage> DeliveryFixture::ask(Peer& peer, const std::string& text) {
  peer.say(text);
  settle(peer);
  return peer.take();
}

void DeliveryFixture::append(int count, const std::string& stream, const std::string& type) {
  for (int i = 0; i < count; ++i) log_.append(stream, type);
}

void DeliveryFixture::pass_ms(std::int64_t ms) {
  for (; ms > 0; ms -= 250) {
    clock_.advance_ms(250);
    loop_->tick();
  }
}

std::string ops(const std::vector<SeenMessage>& messages) {
  std::vector<std::string> texts;
  for (const SeenMessage& message : messages) {
    const std::string id = message.field("id");
    texts.push_back(id.empty() ? message.op : message.op + " " + id);
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::vector<Sequence> sequences(const std::vector<SeenMessage>& messages) {
  std::vector<Sequence> all;
  for (const SeenMessage& message : messages) {
    for (const SeenMessage::Event& event : message.events) all.push_back(event.sequence);
  }
  return all;
}

std::vector<Sequence> range(Sequence first, Sequence last) {
  std::vector<Sequence> all(last >= first ? last - first + 1 : 0);
  std::iota(all.begin(), all.end(), first);
  return all;
}

}  // namespace tidegate::test
