#include "tools/bench/load/peer.h"

#include <algorithm>

#include <fmt/format.h>

namespace tidegate::load {
namespace {

constexpr std::uint8_t kTextFrame = 1;
constexpr std::uint8_t kBinaryFrame = 2;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

// A load client needs no unpredictable key or mask: no cache or proxy stands in between.
std::string upgrade(std::string_view target) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGlkZWdhdGUtYmVuY2gtMQ==\r\n\r\n",
      target);
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

std::uint64_t count(std::string_view bytes, char wanted) {
  return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), wanted));
}

// nginx with Nchan: a WebSocket message per event; publishes are pipelined POST requests.
class Nchan final : public Peer {
 public:
  std::vector<Step> subscribe(std::uint64_t, Start start) const override {
    const char* target = start == Start::kHead ? "/new" : "/all";
    return {{"", upgrade(target)}, {std::string(kHeadEnd), ""}};
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
};

// NATS: its text protocol over TCP for publishers, in WebSocket frames for subscribers. JetStream
// adds an acknowledgement to publishes and an ephemeral push consumer to each subscriber, without
// acknowledgements and flow control, which would only cost it time.
class Nats final : public Peer {
 public:
  explicit Nats(bool is_stored) : is_stored_(is_stored) {}

  std::vector<Step> subscribe(std::uint64_t number, Start start) const override {
    std::vector<Step> steps = {{"", upgrade("/")}, {std::string(kHeadEnd), ""}};
    if (!is_stored_) {
      steps.push_back(
          {"INFO ",
           client_frame(kBinaryFrame, fmt::format("{}SUB bench.> 1\r\nPING\r\n", kConnect))});
      steps.push_back({"PONG\r\n", ""});
      return steps;
    }
    const std::string_view policy = start == Start::kHead ? "new" : "all";
    const std::string consumer = fmt::format(
        R"({{"stream_name":"bench","config":{{"deliver_subject":"to.{}","deliver_policy":"{}",)"
        R"("ack_policy":"none","replay_policy":"instant","mem_storage":true}}}})",
        number, policy);
    const std::string text = fmt::format(
        "{}SUB to.{} 1\r\nSUB made.{} 2\r\nPUB $JS.API.CONSUMER.CREATE.bench made.{} {}\r\n{}\r\n",
        kConnect, number, number, number, consumer.size(), consumer);
    steps.push_back({"INFO ", client_frame(kBinaryFrame, text)});
    steps.push_back({R"("created")", ""});
    return steps;
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
  static constexpr std::string_view kConnect = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
  bool is_stored_;
};

// Redis: publishers talk to it, subscribers to a WebSocket server on Node.js, which says "ready"
// once a subscriber will get all that is published from then on.
class Redis final : public Peer {
 public:
  explicit Redis(bool is_stored) : is_stored_(is_stored) {}

  std::vector<Step> subscribe(std::uint64_t, Start start) const override {
    const char* target = start == Start::kHead ? "/new" : "/all";
    return {{"", upgrade(target)}, {"ready", ""}};
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
  std::vector<Step> subscribe(std::uint64_t, Start) const override {
    return {{"", upgrade("/socket.io/?EIO=4&transport=websocket")},
            {"0{", client_frame(kTextFrame, "40")},
            {"40{", ""}};
  }
  std::vector<Step> begin_publishing(std::uint64_t) const override { return {}; }
  void publish(std::string& out, std::uint64_t, std::string_view event) const override {
    out += event;
    out += '\n';
  }
  Result<std::uint64_t> acknowledged(std::string_view) const override { return std::uint64_t{0}; }
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
