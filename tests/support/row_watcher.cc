#include "tests/support/row_watcher.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

constexpr std::int64_t kMillisecondNs = 1'000'000;

std::string quoted_keys(const std::vector<std::string>& keys) {
  std::string list;
  for (const std::string& key : keys) list += (list.empty() ? "\"" : ",\"") + key + "\"";
  return "[" + list + "]";
}

}  // namespace

RowWatcher::RowWatcher(Options options, std::string http_address)
    : options_(std::move(options)), address_(std::move(http_address)), random_(options_.seed) {}

bool RowWatcher::selects(std::string_view key) const {
  if (options_.keys.empty()) return key.starts_with(options_.prefix);
  return std::find(options_.keys.begin(), options_.keys.end(), key) != options_.keys.end();
}

void RowWatcher::tick(std::int64_t now_ns) {
  if (!client_) {
    connect(now_ns);
  } else if (!is_settled_ && now_ns >= drop_at_ns_) {
    drop();
  }
}

void RowWatcher::connect(std::int64_t now_ns) {
  client_ = WsClient::try_connect(
      address_, {.protocol = options_.is_binary ? "tidegate.v1.proto" : "tidegate.v1.json"},
      nullptr);
  // A gateway with too much to do says 503: again at the next turn.
  if (!client_) return;
  ++connections_;
  const auto life_ms = static_cast<std::int64_t>(
      random_() % static_cast<std::uint64_t>(std::max(1, options_.life_max_ms)));
  drop_at_ns_ = now_ns + life_ms * kMillisecondNs;
  watch();
}

// A place is only what was told as one; the rows that came after it come again.
void RowWatcher::watch() {
  v1::ClientMessage message;
  v1::WatchOp& op = *message.mutable_watch();
  op.set_id("w");
  op.set_projection(options_.projection);
  for (const std::string& key : options_.keys) op.mutable_selection()->add_keys(key);
  op.mutable_selection()->set_prefix(options_.prefix);
  std::string json =
      fmt::format(R"({{"op":"watch","id":"w","projection":"{}")", options_.projection);
  if (!options_.keys.empty()) json += ",\"keys\":" + quoted_keys(options_.keys);
  if (!options_.prefix.empty()) json += fmt::format(R"(,"prefix":"{}")", options_.prefix);
  is_resuming_ = !position_.empty();
  if (is_resuming_) {
    op.mutable_after()->set_position(position_);
    op.mutable_after()->set_version(version_);
    json += fmt::format(R"(,"after":"{}","version":{})", position_, version_);
  } else {
    rows_.clear();
  }
  const bool is_sent = options_.is_binary ? client_->send_binary(message.SerializeAsString())
                                          : client_->send_text(json + "}");
  if (!is_sent) drop();
}

void RowWatcher::drop() {
  client_->cut();
  client_.reset();
}

void RowWatcher::on_readable() {
  while (client_) {
    const std::optional<WsFrame> frame = client_->read_frame(Milliseconds(0));
    if (!frame) return;
    if (frame->opcode == Opcode::kPing) {
      client_->send_frame(Opcode::kPong, frame->payload);
    } else if (frame->opcode == Opcode::kClose) {
      ADD_FAILURE() << "the gateway closes a watcher: " << frame->close_code() << " "
                    << frame->close_text();
      drop();
    } else if (options_.is_binary) {
      v1::ServerMessage message;
      EXPECT_TRUE(message.ParseFromString(frame->payload));
      hear(Told::from_proto(message));
    } else {
      hear(Told::from_json(frame->payload));
    }
  }
}

void RowWatcher::hear(const Told& told) {
  if (told.op == "rows") {
    for (const Told::Row& row : told.rows) {
      EXPECT_TRUE(selects(row.key)) << row.key;
      if (row.document.empty()) {
        rows_.erase(row.key);
      } else {
        rows_[row.key] = {row.document, row.sequence};
      }
    }
  } else if (told.op == "watch_reset") {
    rows_.clear();
    position_.clear();
    is_resuming_ = false;
  } else if (told.op == "snapshot_end" || told.op == "watch_position") {
    resumptions_ += std::exchange(is_resuming_, false) ? 1 : 0;
    position_ = told.position;
    version_ = told.version;
  } else if (told.op == "error" && (told.code == "overloaded" || told.code == "unavailable")) {
    drop();
  } else if (told.op == "error" || told.op == "unwatched" || told.op.empty()) {
    ADD_FAILURE() << "a watcher is told '" << told.op << "' " << told.code << told.reason;
    drop();
  }
}

}  // namespace tidegate::test
