#include "tools/tidegate/event_scanner.h"

#include <cstring>

#include <fmt/format.h>

#include "tidegate/v1/session.pb.h"
#include "tools/tidegate/bench_events.h"

namespace tidegate {
namespace {

constexpr std::string_view kJsonOp = R"({"op":")";
constexpr std::string_view kJsonEventsOp = R"({"op":"events")";
constexpr std::string_view kJsonEventsBegin = R"(,"events":[)";
constexpr std::string_view kJsonPosition = R"("position":")";
// Tags of one byte: field number << 3 | wire type.
constexpr char kProtoEventsOp = 0x1A;  // ServerMessage.events
constexpr char kProtoEvent = 0x12;     // Events.events
constexpr char kProtoPosition = 0x1A;  // Events.position
constexpr char kSequenceTag = 0x08;    // RecordedEvent
constexpr char kRevisionTag = 0x18;
constexpr char kEventTag = 0x2A;
constexpr char kWireTypeMask = 0x07;
constexpr char kWireTypeBytes = 0x02;

Error unexpected(std::string_view bytes) {
  std::string shown;
  for (const char c : bytes.substr(0, 160)) shown += c >= ' ' && c <= '~' ? c : '.';
  return {Code::kInternal, "a message that a benchmark does not expect: " + shown};
}

// Walks text of a known form. When the text ends too early it is short, and stays so.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool is_short() const { return is_short_; }
  bool is_wrong() const { return is_wrong_; }
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }

  void literal(std::string_view text) {
    if (rest().size() < text.size()) return give_up();
    if (std::memcmp(at_, text.data(), text.size()) != 0) is_wrong_ = true;
    at_ += text.size();
  }
  std::uint64_t digits() {
    std::uint64_t value = 0;
    for (; at_ != end_ && *at_ >= '0' && *at_ <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint64_t>(*at_ - '0');
    }
    is_short_ = is_short_ || at_ == end_;
    return value;
  }
  void past(char c) {
    const void* const found = std::memchr(at_, c, rest().size());
    if (found == nullptr) return give_up();
    at_ = static_cast<const char*>(found) + 1;
  }
  char byte() {
    if (at_ == end_) {
      give_up();
      return 0;
    }
    return *at_++;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto next = static_cast<unsigned char>(byte());
      value |= static_cast<std::uint64_t>(next & 0x7FU) << shift;
      if (next < 0x80) return value;
    }
    is_wrong_ = true;
    return value;
  }
  void skip(std::uint64_t bytes) {
    if (rest().size() < bytes) return give_up();
    at_ += bytes;
  }

 private:
  void give_up() {
    is_short_ = true;
    at_ = end_;
  }

  const char* at_;
  const char* end_;
  bool is_short_ = false;
  bool is_wrong_ = false;
};

// The length of the JSON object at the front; 0: it does not end here.
std::size_t object_length(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      i += c == '\\' ? 1U : 0U;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return 0;
}

// Whether an event's object may end after `length` bytes: by what must follow it in the message.
bool ends_event(std::string_view text, std::size_t length) {
  return text.size() >= length + 2 && text[length - 1] == '}' && text[length] == '}' &&
         (text[length + 1] == ',' || text[length + 1] == ']');
}

using Kind = ServerNotice::Kind;

}  // namespace

Result<ServerNotice> EventScanner::json_notice(std::string_view message) {
  if (!message.starts_with(kJsonOp)) return unexpected(message);
  const std::string_view rest = message.substr(kJsonOp.size());
  const std::string_view op = rest.substr(0, rest.find('"'));
  const bool is_refusal =
      op == "error" || op == "gap" || op == "reset" || op == "unsubscribed" || op == "closing";
  if (is_refusal) return ServerNotice{Kind::kRefusal, std::string(message)};
  keep_json_position(message);
  if (op == "welcome") return ServerNotice{Kind::kWelcome, {}};
  if (op == "subscribed") return ServerNotice{Kind::kSubscribed, {}};
  if (op == "caught_up") return ServerNotice{Kind::kCaughtUp, {}};
  if (op == "fell_behind") return ServerNotice{Kind::kFellBehind, {}};
  return ServerNotice{};
}

Result<ServerNotice> EventScanner::proto_notice(std::string_view bytes) {
  v1::ServerMessage message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return unexpected(bytes);
  switch (message.op_case()) {
    case v1::ServerMessage::kWelcome:
      return ServerNotice{Kind::kWelcome, {}};
    case v1::ServerMessage::kSubscribed:
      position_ = message.subscribed().position();
      return ServerNotice{Kind::kSubscribed, {}};
    case v1::ServerMessage::kCaughtUp:
      position_ = message.caught_up().position();
      return ServerNotice{Kind::kCaughtUp, {}};
    case v1::ServerMessage::kPosition:
      position_ = message.position().position();
      return ServerNotice{};
    case v1::ServerMessage::kFellBehind:
      return ServerNotice{Kind::kFellBehind, {}};
    case v1::ServerMessage::kError:
    case v1::ServerMessage::kGap:
    case v1::ServerMessage::kReset:
    case v1::ServerMessage::kUnsubscribed:
    case v1::ServerMessage::kClosing:
      return ServerNotice{Kind::kRefusal, message.ShortDebugString()};
    default:
      return ServerNotice{};
  }
}

// Positions have no character that JSON escapes.
void EventScanner::keep_json_position(std::string_view text) {
  const std::size_t at = text.rfind(kJsonPosition);
  if (at == std::string_view::npos) return;
  const std::string_view value = text.substr(at + kJsonPosition.size());
  position_ = value.substr(0, value.find('"'));
}

Result<std::size_t> EventScanner::take(std::string_view bytes, bool is_end,
                                       std::vector<ScannedEvent>& events,
                                       std::vector<ServerNotice>& notices) {
  if (part_ == Part::kBegin) {
    const bool is_json = form_ == LoadForm::kJson;
    const std::string_view begin = is_json ? kJsonEventsOp : std::string_view(&kProtoEventsOp, 1);
    if (bytes.size() < begin.size() && !is_end) return std::size_t{0};
    if (!bytes.starts_with(begin)) {
      // A notice is short, and taken as a whole.
      if (!is_end) return std::size_t{0};
      Result<ServerNotice> notice = is_json ? json_notice(bytes) : proto_notice(bytes);
      if (!notice) return notice.error();
      notices.push_back(*std::move(notice));
      return bytes.size();
    }
  }
  Result<std::size_t> used =
      form_ == LoadForm::kJson ? take_json(bytes, is_end, events) : take_proto(bytes, events);
  if (!used || !is_end) return used;
  const Part last = form_ == LoadForm::kJson ? Part::kAfterEvents : Part::kEvents;
  if (*used != bytes.size() || part_ != last) return unexpected(bytes.substr(*used));
  part_ = Part::kBegin;
  return used;
}

Result<std::size_t> EventScanner::take_json(std::string_view bytes, bool is_end,
                                            std::vector<ScannedEvent>& events) {
  std::size_t used = 0;
  if (part_ == Part::kBegin) {
    const std::size_t at = bytes.find(kJsonEventsBegin);
    if (at == std::string_view::npos && is_end) return unexpected(bytes);
    if (at == std::string_view::npos) return std::size_t{0};
    used = at + kJsonEventsBegin.size();
    part_ = Part::kEvents;
  }
  while (part_ == Part::kEvents && used < bytes.size()) {
    if (bytes[used] == ']') {
      part_ = Part::kAfterEvents;
    } else if (bytes[used] == ',') {
      ++used;
    } else {
      ScannedEvent event;
      const Result<std::size_t> length = json_event(bytes.substr(used), event);
      if (!length) return length;
      if (*length == 0) break;
      events.push_back(event);
      used += *length;
    }
  }
  // What follows the events is short, and read as a whole.
  if (part_ != Part::kAfterEvents || !is_end) return used;
  keep_json_position(bytes.substr(used));
  return bytes.size();
}

Result<std::size_t> EventScanner::json_event(std::string_view bytes, ScannedEvent& event) {
  Cursor cursor(bytes);
  cursor.literal(R"({"sequence":)");
  event.sequence = cursor.digits();
  cursor.literal(R"(,"stream":")");
  cursor.past('"');
  cursor.literal(R"(,"revision":)");
  event.revision = cursor.digits();
  cursor.literal(R"(,"time":")");
  cursor.past('"');
  cursor.literal(R"(,"event":)");
  if (cursor.is_wrong()) return unexpected(bytes);
  if (cursor.is_short()) return std::size_t{0};
  const std::string_view object = cursor.rest();
  if (object_bytes_ == 0 || !ends_event(object, object_bytes_)) {
    const std::size_t length = object_length(object);
    if (length == 0 || object.size() < length + 2) return std::size_t{0};
    object_bytes_ = length;
  }
  if (!ends_event(object, object_bytes_) || object_bytes_ <= data_bytes_) return unexpected(bytes);
  // The data is the last member.
  const auto sent = sent_us_of(object.substr(object_bytes_ - 1 - data_bytes_, data_bytes_));
  if (!sent) return unexpected(bytes);
  event.sent_us = *sent;
  return bytes.size() - object.size() + object_bytes_ + 1;
}

Result<std::size_t> EventScanner::take_proto(std::string_view bytes,
                                             std::vector<ScannedEvent>& events) {
  Cursor cursor(bytes);
  if (part_ == Part::kBegin) {
    cursor.byte();
    cursor.varint();
    if (cursor.is_short()) return std::size_t{0};
    part_ = Part::kEvents;
  }
  std::size_t used = bytes.size() - cursor.rest().size();
  while (!cursor.rest().empty()) {
    const char tag = cursor.byte();
    if ((tag & kWireTypeMask) != kWireTypeBytes) return unexpected(bytes.substr(used));
    const std::uint64_t length = cursor.varint();
    const std::string_view field = cursor.rest();
    cursor.skip(length);
    if (cursor.is_short()) break;
    if (tag == kProtoEvent) {
      ScannedEvent event;
      const Status read = proto_event(field.substr(0, static_cast<std::size_t>(length)), event);
      if (!read) return read.error();
      events.push_back(event);
    }
    if (tag == kProtoPosition) position_ = field.substr(0, static_cast<std::size_t>(length));
    used = bytes.size() - cursor.rest().size();
  }
  return used;
}

Status EventScanner::proto_event(std::string_view bytes, ScannedEvent& event) const {
  Cursor cursor(bytes);
  while (!cursor.rest().empty()) {
    const char tag = cursor.byte();
    const std::uint64_t value = cursor.varint();
    if (tag == kSequenceTag) event.sequence = value;
    if (tag == kRevisionTag) event.revision = value;
    if ((tag & kWireTypeMask) == kWireTypeBytes) cursor.skip(value);
    // The event is the last field, and its data the last of the event.
    if (tag == kEventTag) break;
  }
  if (cursor.is_short() || cursor.is_wrong() || !cursor.rest().empty() ||
      bytes.size() < data_bytes_) {
    return unexpected(bytes);
  }
  const auto sent = sent_us_of(bytes.substr(bytes.size() - data_bytes_));
  if (!sent) return unexpected(bytes);
  event.sent_us = *sent;
  return {};
}

}  // namespace tidegate
