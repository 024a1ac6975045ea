// A log that is not what a client remembers: copied back, damaged, without space, or trimmed.

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kStreams = {"a.x", "a.y"};
const std::vector<std::string> kQuiet = {"--logging-level", "error"};

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

// What a subscribe from this place is answered with: the first message that is not the welcome.
// `place` is JSON.
Heard first_answer_json(const GatewayProcess& gateway, const std::string& place,
                        const std::string& more = "") {
  WsClient client = WsClient::connect(gateway.http(), {.protocol = "tidegate.v1.json"});
  client.expect("welcome");
  client.send_text(
      fmt::format(R"({{"op":"subscribe","id":"s","streams":[">"],"after":{}{}}})", place, more));
  return Heard::from_json(client.read_message().value_or(""));
}

Heard first_answer_proto(const GatewayProcess& gateway, const std::string& position) {
  WsClient client = WsClient::connect(gateway.http(), {.protocol = "tidegate.v1.proto"});
  EXPECT_EQ(Heard::from_proto(client.read_message().value_or("")).op, "welcome");
  v1::ClientMessage message;
  message.mutable_subscribe()->set_id("s");
  message.mutable_subscribe()->add_streams(">");
  message.mutable_subscribe()->mutable_start()->set_after(position);
  client.send_binary(message.SerializeAsString());
  return Heard::from_proto(client.read_message().value_or(""));
}

// The position of the head, as a client remembers it.
std::string head_position(const GatewayProcess& gateway) {
  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  client.send_text(R"({"op":"subscribe","id":"s","streams":[">"]})");
  return json_field(client.expect("subscribed"), "position");
}

grpc::StatusCode read_after(const GatewayProcess& gateway, const std::string& position) {
  const auto events = v1::EventService::NewStub(
      grpc::CreateChannel(gateway.grpc(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext call;
  v1::ReadRequest request;
  request.mutable_start()->set_after(position);
  const auto stream = events->Read(&call, request);
  for (v1::ReadResponse response; stream->Read(&response);) {
  }
  return stream->Finish().error_code();
}

void expect_reset(const GatewayProcess& gateway, const std::string& position,
                  const std::string& reason) {
  const Heard json = first_answer_json(gateway, quoted(position));
  EXPECT_EQ(json.op, "reset") << position;
  EXPECT_EQ(json.reason, reason) << position;
  EXPECT_EQ(first_answer_proto(gateway, position).op, "reset") << position;
  EXPECT_EQ(first_answer_json(gateway, quoted(position), R"(,"cursor":"c")").op, "reset")
      << position;
  EXPECT_EQ(first_answer_json(gateway, quoted(position), R"(,"on_gap":"floor")").op, "reset")
      << position;
  EXPECT_EQ(read_after(gateway, position), grpc::FAILED_PRECONDITION) << position;
}

void expect_resumed(const GatewayProcess& gateway, const std::string& position) {
  EXPECT_EQ(first_answer_json(gateway, quoted(position)).op, "subscribed") << position;
  EXPECT_EQ(first_answer_proto(gateway, position).op, "subscribed") << position;
  EXPECT_EQ(read_after(gateway, position), grpc::OK) << position;
}

TEST(CopiedBackLogTest, IsNoticedByEveryClientThatPresentsAPosition) {
  GatewayProcess gateway({.flags = kQuiet});
  ASSERT_TRUE(fill_log(gateway.grpc(), 100, kStreams));
  const std::string at_100 = head_position(gateway);
  ASSERT_EQ(gateway.terminate(), 0);
  const TempDir backup;
  copy_dir(gateway.data_dir(), backup.path() / "data");
  gateway.start();
  ASSERT_TRUE(fill_log(gateway.grpc(), 20, kStreams, 101));
  const std::string at_120 = head_position(gateway);
  ASSERT_TRUE(fill_log(gateway.grpc(), 30, kStreams, 121));
  const std::string at_150 = head_position(gateway);
  expect_resumed(gateway, at_120);
  ASSERT_EQ(gateway.terminate(), 0);

  copy_dir(backup.path() / "data", gateway.data_dir());
  gateway.start();
  expect_resumed(gateway, at_100);
  expect_reset(gateway, at_120, "ahead");
  expect_reset(gateway, at_150, "ahead");

  // New events, other ones, up to and beyond the old head.
  ASSERT_TRUE(fill_log(gateway.grpc(), 50, kStreams, 1000));
  ASSERT_EQ(head_position(gateway).substr(0, 20), at_150.substr(0, 20))
      << "the same log id and sequence";
  expect_reset(gateway, at_150, "rewound");
  ASSERT_TRUE(fill_log(gateway.grpc(), 100, kStreams, 2000));
  expect_resumed(gateway, at_100);
  expect_reset(gateway, at_120, "rewound");
  expect_reset(gateway, at_150, "rewound");
  // A bare integer is taken at its word.
  EXPECT_EQ(first_answer_json(gateway, "150").op, "subscribed");
  expect_reset(gateway, "zzzzzzzzzzzzzzzz" + at_100.substr(16), "unknown_log");
}

// ----------------------------------------------------------------------------- a damaged log

// The write-ahead log that holds most.
fs::path largest_wal(const std::string& data_dir) {
  fs::path largest;
  std::uintmax_t size = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(data_dir) / "db")) {
    if (entry.path().extension() != ".log" || entry.file_size() <= size) continue;
    largest = entry.path();
    size = entry.file_size();
  }
  EXPECT_FALSE(largest.empty()) << "no write-ahead log in " << data_dir;
  return largest;
}

struct Damage {
  const char* name;
  void (*inflict)(const fs::path& wal);
};

void cut(const fs::path& wal) {
  fs::resize_file(wal, fs::file_size(wal) / 2);
}
void flip(const fs::path& wal) {
  std::string bytes = read_file(wal);
  bytes[bytes.size() / 2] ^= 0x10;
  write_file(wal, bytes);
}
void remove(const fs::path& wal) {
  fs::remove(wal);
}

class DamagedLogTest : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedLogTest, IsRefusedUntouchedAndLeadsOnByAcceptLoss) {
  GatewayProcess gateway({.flags = kQuiet});
  ASSERT_TRUE(fill_log(gateway.grpc(), 1000, kStreams));
  const std::string at_1000 = head_position(gateway);
  ASSERT_TRUE(fill_log(gateway.grpc(), 1000, kStreams, 1001));
  const std::string at_2000 = head_position(gateway);
  gateway.kill();
  GetParam().inflict(largest_wal(gateway.data_dir()));

  const auto before = files_below(gateway.data_dir());
  const Finished refused =
      run_program({tidegated_path(), "--data", gateway.data_dir(), "--http", "127.0.0.1:0",
                   "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"});
  EXPECT_EQ(refused.exit_code, 65) << refused.stderr_text;
  EXPECT_NE(refused.stderr_text.find("accept-loss"), std::string::npos) << refused.stderr_text;
  EXPECT_TRUE(before == files_below(gateway.data_dir())) << "a refused start changed files";

  const Finished asked = run_cli({"log", "accept-loss", "--data", gateway.data_dir()});
  EXPECT_EQ(asked.exit_code, 2) << asked.stderr_text;
  EXPECT_TRUE(before == files_below(gateway.data_dir()))
      << "accept-loss without --yes changed files";
  const Finished accepted =
      run_cli({"log", "accept-loss", "--data", gateway.data_dir(), "--yes", "-o", "json"});
  ASSERT_EQ(accepted.exit_code, 0) << accepted.stderr_text;
  const std::uint64_t fork =
      std::strtoull(json_field(accepted.stdout_text, "fork_sequence").c_str(), nullptr, 10);
  EXPECT_LT(fork, 2000u);
  EXPECT_EQ(json_field(accepted.stdout_text, "acknowledged_head"), "2000");

  gateway.start();
  EXPECT_EQ(read_whole_log(gateway.grpc()).size(), fork);
  expect_reset(gateway, at_2000, "rewound");
  if (fork >= 1000) expect_resumed(gateway, at_1000);
  ASSERT_TRUE(fill_log(gateway.grpc(), 3000, kStreams, 10'000));
  expect_reset(gateway, at_2000, "rewound");
  EXPECT_EQ(gateway.terminate(), 0);
  EXPECT_EQ(verify_problems(gateway.data_dir()), "");
}

INSTANTIATE_TEST_SUITE_P(WriteAheadLog, DamagedLogTest,
                         ::testing::Values(Damage{"cut", cut}, Damage{"flipped", flip},
                                           Damage{"deleted", remove}),
                         [](const auto& damage) { return std::string(damage.param.name); });

// ------------------------------------------------------------------------------------- a full disk

// A small file system in memory; only for those who may mount.
class SmallDisk {
 public:
  explicit SmallDisk(std::uint64_t bytes) {
    const std::string size = "size=" + std::to_string(bytes);
    is_mounted_ = ::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, size.c_str()) == 0;
    if (!is_mounted_) error_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (is_mounted_) ::umount2(dir_.path().c_str(), MNT_DETACH);
  }
  bool is_mounted() const { return is_mounted_; }
  const std::string& error() const { return error_; }
  std::string data() const { return dir_.file("data"); }

  std::uint64_t free_bytes() const {
    struct statvfs status = {};
    ::statvfs(dir_.path().c_str(), &status);
    return status.f_bavail * status.f_frsize;
  }
  // Somebody else's file takes all but so much; called again, it takes what has become free
  // meanwhile.
  void fill(std::uint64_t leave) {
    const int fd = ::open(dir_.file("filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::uint64_t free = free_bytes();
    const off_t size = ::lseek(fd, 0, SEEK_END);
    if (free > leave) {
      EXPECT_EQ(::posix_fallocate(fd, size, static_cast<off_t>(free - leave)), 0);
    }
    ::close(fd);
  }
  void make_room() { fs::remove(dir_.file("filler")); }

 private:
  TempDir dir_;
  bool is_mounted_ = false;
  std::string error_;
};

grpc::Status publish_one(const GatewayProcess& gateway, const std::string& id) {
  const auto events = v1::EventService::NewStub(
      grpc::CreateChannel(gateway.grpc(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext call;
  v1::PublishRequest request;
  v1::NewEvent& added = *request.add_events();
  added.set_stream("a.x");
  added.mutable_event()->set_id(id);
  added.mutable_event()->set_source("/disk");
  added.mutable_event()->set_type("t");
  added.mutable_event()->set_text_data("{}");
  v1::PublishResponse response;
  return events->Publish(&call, request, &response);
}

TEST(FullDiskTest, RefusesPublishesHealsAndIsNotStartedOn) {
  SmallDisk disk(256 << 20);
  if (!disk.is_mounted()) {
    GTEST_SKIP() << "cannot mount a small tmpfs (" << disk.error()
                 << "): run as root; tests/eventstore/disk_space_test.cc covers the store";
  }
  GatewayProcess gateway({.flags = kQuiet, .data_dir = disk.data()});
  ASSERT_TRUE(fill_log(gateway.grpc(), 1000, kStreams));
  grpc::Status refused;
  std::uint64_t stored = 1000;
  const bool is_refused = eventually([&] {
    // Between the soft watermark (8 MiB) and the hard floor (4 MiB). RocksDB gives back what it
    // reserved for a write-ahead log when it begins the next one, so the disk is filled until
    // publishing is refused.
    disk.fill(6 << 20);
    refused = publish_one(gateway, "low-" + std::to_string(stored));
    stored += refused.ok() ? 1 : 0;
    return !refused.ok();
  });
  ASSERT_TRUE(is_refused) << "publishes go on on a full disk";
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED) << refused.error_message();
  EXPECT_NE(refused.error_details().find("disk_low"), std::string::npos);
  EXPECT_EQ(read_whole_log(gateway.grpc()).size(), stored)
      << "reading goes on, and nothing refused is there";

  disk.make_room();
  EXPECT_TRUE(eventually([&] { return publish_one(gateway, "healed").ok(); }))
      << "it does not heal";
  ++stored;
  EXPECT_EQ(read_whole_log(gateway.grpc()).size(), stored);
  EXPECT_EQ(gateway.terminate(), 0);

  disk.fill(1 << 20);
  const auto before = files_below(disk.data());
  const Finished full = run_program(
      {tidegated_path(), "--data", disk.data(), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
       "--admin", "127.0.0.1:0", "--disk-soft", "8MiB", "--disk-hard", "4MiB", "--ballast", "0"});
  EXPECT_EQ(full.exit_code, 73) << full.stderr_text;
  EXPECT_TRUE(before == files_below(disk.data())) << "a refused start changed files";
  disk.make_room();
  gateway.start();
  EXPECT_EQ(read_whole_log(gateway.grpc()).size(), stored);
  EXPECT_EQ(gateway.terminate(), 0);
  EXPECT_EQ(verify_problems(disk.data()), "");
}

// ----------------------------------------------------------------------------------- a trimmed log

TEST(TrimmedLogTest, AnswersPositionsBelowTheFloorWithGap) {
  GatewayProcess gateway({.flags = kQuiet});
  ASSERT_TRUE(fill_log(gateway.grpc(), 1000, kStreams));
  const std::string at_1000 = head_position(gateway);
  ASSERT_TRUE(fill_log(gateway.grpc(), 2000, kStreams, 1001));
  const std::string at_3000 = head_position(gateway);
  ASSERT_TRUE(fill_log(gateway.grpc(), 1000, kStreams, 3001));
  const std::string at_4000 = head_position(gateway);
  const Finished trimmed = run_cli(
      {"--server", gateway.grpc(), "log", "trim", "--before", "3001", "--yes", "-o", "json"});
  ASSERT_EQ(trimmed.exit_code, 0) << trimmed.stderr_text;
  EXPECT_EQ(json_field(trimmed.stdout_text, "floor"), "3001");

  for (const std::string& place :
       {quoted(at_1000), std::string("1000"), std::string("0"), std::string("2999")}) {
    const Heard gap = first_answer_json(gateway, place);
    EXPECT_EQ(gap.op, "gap") << place;
    EXPECT_EQ(gap.reason, "trimmed");
    EXPECT_EQ(gap.floor, 3001u);
  }
  EXPECT_EQ(first_answer_proto(gateway, at_1000).op, "gap");
  EXPECT_EQ(read_after(gateway, at_1000), grpc::OUT_OF_RANGE);
  expect_resumed(gateway, at_3000);
  expect_resumed(gateway, at_4000);

  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  client.send_text(fmt::format(
      R"({{"op":"subscribe","id":"s","streams":[">"],"after":"{}","on_gap":"floor"}})", at_1000));
  client.expect("gap");
  client.expect("subscribed");
  Sequence next = 3001;
  while (next <= 4000) {
    const Heard events = Heard::from_json(client.expect("events"));
    ASSERT_FALSE(events.events.empty());
    for (const Heard::Event& event : events.events) ASSERT_EQ(event.sequence, next++);
  }
  EXPECT_EQ(gateway.terminate(), 0);
  EXPECT_EQ(verify_problems(gateway.data_dir()), "");
}

}  // namespace
}  // namespace tidegate::test
