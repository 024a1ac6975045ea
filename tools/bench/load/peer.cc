#include "tools/bench/load/peer.h"

#include <algorithm>

#include <fmt/format.h>

namespace tidegate::load {
namespace {

constexpr std::uint8_t kTextFrame = 1;
constexpr std::uint8_t kBinaryFrame = 2;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

// A load client needs no unpredictable key or mask: no cache or proxy stands in between.
std::string upgrade(std::string_view target, std::string_view more_headers = {}) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGlkZWdhdGUtYmVuY2gtMQ==\r\n{}\r\n",
      target, more_headers);
}

// `payload` has at most 65,535 bytes.
std::string client_frame(std::uint8_t opcode, std::string_view payload) {
  std::string frame(1, static_cast<char>(0x80 | opcode));
  if (payload.size() <= 125) {
    frame += static_cast<char>(0x80 | payload.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size() & 0xFF);
  }
  frame.append(4, '\0');
  frame += payload;
  return frame;
}

Status refuse(std::string_view bytes, std::initializer_list<std::string_view> errors) {
  for (std::string_view error : errors) {
    const std::size_t at = bytes.find(error);
    if (at == std::string_view::npos) continue;
    return Error{Code::kInternal, fmt::format("the peer says: {}", bytes.substr(at, 200))};
  }
  return {};
}

// What stands in `text` between the last `before` that is followed by `after`, and that.
std::string_view last_between(std::string_view text, std::string_view before,
                              std::string_view after) {
  const std::size_t end = text.rfind(after);
  if (end == std::string_view::npos || end == 0) return {};
  const std::size_t at = text.rfind(before, end - 1);
  if (at == std::string_view::npos || at + before.size() > end) return {};
  const std::size_t begin = at + before.size();
  return text.substr(begin, end - begin);
}

std::uint64_t count(std::string_view bytes, char wanted) {
  return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), wanted));
}

// nginx with Nchan: a WebSocket message per event; publishes are pipelined POST requests.
class Nchan final : public Peer {
 public:
  std::vector<Step> subscribe(std::uint64_t, Start start) const override {
    const char* target = start == Start::kOldest ? "/all" : "/new";
    return {{"", upgrade(target, start == Start::kResumable ? kWithIds : "")},
            {std::string(kHeadEnd), ""}};
  }
  // An event comes as "id: 1790000000:0", an empty line, and the text.
  std::vector<Step> resume(std::uint64_t, const Seen& seen) const override {
    const std::string_view id = last_between(seen.tail, "id: ", "\n\n^");
    const std::string headers = fmt::format("{}Last-Event-ID: {}\r\n", kWithIds, id);
    return {{"", upgrade("/new", headers)}, {std::string(kHeadEnd), ""}};
  }
  std::vector<Step> begin_publishing(std::uint64_t) const override { return {}; }
  void publish(std::string& out, std::uint64_t, std::string_view event) const override {
    fmt::format_to(std::back_inserter(out),
                   "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                   event.size(), event);
  }
  Result<std::uint64_t> acknowledged(std::string_view bytes) const override {
    if (Status good = refuse(bytes, {"HTTP/1.1 4", "HTTP/1.1 5"}); !good) return good.error();
    return std::uint64_t{0};
  }

 private:
  static constexpr std::string_view kWithIds = "Sec-WebSocket-Protocol: ws+meta.nchan\r\n";
};

// NATS: its text protocol over TCP for publishers, in WebSocket frames for subscribers. JetStream
// adds an acknowledgement to publishes and an ephemeral push consumer to each subscriber, without
// acknowledgements and flow control, which would only cost it time.
class Nats final : public Peer {
 public:
  explicit Nats(bool is_stored) : is_stored_(is_stored) {}

  std::vector<Step> subscribe(std::uint64_t number, Start start) const override {
    if (!is_stored_) {
      const std::string text = fmt::format("{}SUB bench.> 1\r\nPING\r\n", kConnect);
      return {{"", upgrade("/")},
              {std::string(kHeadEnd), ""},
              {"INFO ", client_frame(kBinaryFrame, text)},
              {"PONG\r\n", ""}};
    }
    const std::string_view policy = start == Start::kOldest ? "all" : "new";
    return consume(std::to_string(number), fmt::format(R"("deliver_policy":"{}")", policy));
  }
  // One publisher: the stream's first sequence is event 0. The consumer of the cut connection lives
  // on for some seconds, so that this one delivers elsewhere.
  std::vector<Step> resume(std::uint64_t number, const Seen& seen) const override {
    if (!is_stored_) return {};
    return consume(
        fmt::format("{}.again", number),
        fmt::format(R"("deliver_policy":"by_start_sequence","opt_start_seq":{})", seen.next + 1));
  }
  std::vector<Step> begin_publishing(std::uint64_t number) const override {
    return {{"INFO ", fmt::format("{}SUB ack.{} 1\r\nPING\r\n", kConnect, number)},
            {"PONG\r\n", ""}};
  }
  void publish(std::string& out, std::uint64_t number, std::string_view event) const override {
    const auto end = std::back_inserter(out);
    if (is_stored_) {
      fmt::format_to(end, "PUB bench.{} ack.{} {}\r\n{}\r\n", number, number, event.size(), event);
    } else {
      fmt::format_to(end, "PUB bench.{} {}\r\n{}\r\n", number, event.size(), event);
    }
  }
  // An acknowledgement is {"stream":"bench","seq":1}.
  Result<std::uint64_t> acknowledged(std::string_view bytes) const override {
    if (Status good = refuse(bytes, {"-ERR", "\"error\""}); !good) return good.error();
    if (!is_stored_) return std::uint64_t{0};
    return count(bytes, '}');
  }

 private:
  static std::vector<Step> consume(const std::string& name, std::string_view policy) {
    const std::string consumer =
        fmt::format(R"({{"stream_name":"bench","config":{{"deliver_subject":"to.{}",{},)"
                    R"("ack_policy":"none","replay_policy":"instant","mem_storage":true}}}})",
                    name, policy);
    const std::string text = fmt::format(
        "{0}SUB to.{1} 1\r\nSUB made.{1} 2\r\n"
        "PUB $JS.API.CONSUMER.CREATE.bench made.{1} {2}\r\n{3}\r\n",
        kConnect, name, consumer.size(), consumer);
    return {{"", upgrade("/")},
            {std::string(kHeadEnd), ""},
            {"INFO ", client_frame(kBinaryFrame, text)},
            {R"("created")", ""}};
  }

  static constexpr std::string_view kConnect = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
  bool is_stored_;
};

// Redis: publishers talk to it, subscribers to a WebSocket server on Node.js, which says "ready"
// once a subscriber will get all that is published from then on.
class Redis final : public Peer {
 public:
  explicit Redis(bool is_stored) : is_stored_(is_stored) {}

  std::vector<Step> subscribe(std::uint64_t, Start start) const override {
    const char* target = "/published";
    if (is_stored_) target = start == Start::kOldest ? "/stored?after=0-0" : "/stored";
    return {{"", upgrade(target)}, {"ready", ""}};
  }
  // An event comes behind its id: "@1790000000000-0 ^..".
  std::vector<Step> resume(std::uint64_t, const Seen& seen) const override {
    if (!is_stored_) return {};
    const std::string_view id = last_between(seen.tail, "@", " ^");
    return {{"", upgrade(fmt::format("/stored?after={}", id))}, {"ready", ""}};
  }
  std::vector<Step> begin_publishing(std::uint64_t) const override { return {}; }
  void publish(std::string& out, std::uint64_t number, std::string_view event) const override {
    const auto end = std::back_inserter(out);
    if (is_stored_) {
      const std::string key = fmt::format("bench.{}", number);
      fmt::format_to(end, "*5\r\n$4\r\nXADD\r\n${}\r\n{}\r\n$1\r\n*\r\n$1\r\nd\r\n${}\r\n{}\r\n",
                     key.size(), key, event.size(), event);
    } else {
      fmt::format_to(end, "*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n${}\r\n{}\r\n", event.size(),
                     event);
    }
  }
  // XADD is answered with the entry's id, $15\r\n1790000000000-0\r\n.
  Result<std::uint64_t> acknowledged(std::string_view bytes) const override {
    if (Status good = refuse(bytes, {"-ERR", "-MISCONF", "-OOM"}); !good) return good.error();
    if (!is_stored_) return std::uint64_t{0};
    return count(bytes, '$');
  }

 private:
  bool is_stored_;
};

// Socket.IO over its WebSocket transport; its server reads events as lines from a publisher.
class SocketIo final : public Peer {
 public:
  std::vector<Step> subscribe(std::uint64_t, Start) const override { return connect("40"); }
  // The handshake ends with a private id, and each event with its offset.
  std::vector<Step> resume(std::uint64_t, const Seen& seen) const override {
    const std::string_view id = seen.answer.substr(0, seen.answer.find('"'));
    const std::string_view offset = last_between(seen.tail, ",\"", "\"]");
    return connect(fmt::format(R"(40{{"pid":"{}","offset":"{}"}})", id, offset));
  }
  std::vector<Step> begin_publishing(std::uint64_t) const override { return {}; }
  void publish(std::string& out, std::uint64_t, std::string_view event) const override {
    out += event;
    out += '\n';
  }
  Result<std::uint64_t> acknowledged(std::string_view) const override { return std::uint64_t{0}; }

 private:
  static std::vector<Step> connect(std::string_view request) {
    return {{"", upgrade("/socket.io/?EIO=4&transport=websocket")},
            {"0{", client_frame(kTextFrame, request)},
            {R"("pid":")", ""},
            {"}", ""}};
  }
};

}  // namespace

std::unique_ptr<Peer> make_peer(std::string_view name) {
  if (name == "nchan") return std::make_unique<Nchan>();
  if (name == "nats") return std::make_unique<Nats>(false);
  if (name == "jetstream") return std::make_unique<Nats>(true);
  if (name == "redis") return std::make_unique<Redis>(false);
  if (name == "redis-streams") return std::make_unique<Redis>(true);
  if (name == "socketio") return std::make_unique<SocketIo>();
  return nullptr;
}

std::vector<std::string> peer_names() {
  return {"nchan", "nats", "jetstream", "redis", "redis-streams", "socketio"};
}

}  // namespace tidegate::load
