#include <random>

#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

// A small log with several tables and a live write-ahead log, and copies of it that are damaged at
// random. Whatever the damage: everything that was acknowledged is readable, or the store says that
// it is not. Never a silent loss.
class DamageTest : public StoreDirTest, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    std::mt19937_64 random(99);
    for (int part = 0; part < 4; ++part) {
      for (int i = 0; i < 10; ++i) {
        std::string data(300, ' ');
        for (char& byte : data) byte = static_cast<char>('0' + random() % 64);
        const auto result = publish({EventBuilder{.id = fmt::format("{}-{}", part, i),
                                                  .stream = "s." + std::to_string(random() % 5),
                                                  .data = data}
                                         .build()});
        ASSERT_TRUE(result);
      }
      // Each opening writes what it recovered to a table.
      if (part < 3) reopen();
    }
    written_ = read_log(store()).value();
    copy_dir(options_.dir, temp_.file("intact"));
    close();
    copy_dir(temp_.file("intact"), options_.dir);
  }

  std::string damage_one(std::mt19937_64& random) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(options_.dir)) {
      const std::string name = entry.path().filename().string();
      const bool matters = entry.is_regular_file() && name != "LOCK" && name != "ballast" &&
                           !name.starts_with("LOG") && !name.starts_with("OPTIONS");
      if (matters) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    const fs::path file = files[random() % files.size()];
    std::string bytes = read_file(file);
    const std::string name = file.lexically_relative(options_.dir).string();
    switch (random() % 4) {
      case 0:
        fs::remove(file);
        return name + " deleted";
      case 1:
        fs::resize_file(file, bytes.empty() ? 0 : random() % bytes.size());
        return name + " cut";
      case 2: {
        const std::size_t at = bytes.empty() ? 0 : random() % bytes.size();
        const std::size_t size = std::min<std::size_t>(bytes.size() - at, 1 + random() % 64);
        bytes.replace(at, size, size, '\0');
        write_file(file, bytes);
        return fmt::format("{} zeroed at {}", name, at);
      }
      default: {
        if (bytes.empty()) return name + " is empty";
        const std::size_t at = random() % bytes.size();
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        write_file(file, bytes);
        return fmt::format("{} flipped at {}", name, at);
      }
    }
  }
  // True when the store says that something is wrong.
  bool is_told() {
    const auto events = read_log(store());
    if (!events) return true;
    const auto report = store().verify([](const VerifyProgress&) { return true; });
    if (!report || !report->is_clean()) return true;
    EXPECT_EQ(*events, written_);
    return false;
  }

  std::vector<LoggedEvent> written_;
};

TEST_P(DamageTest, IsNeverSilent) {
  expects_fatal_ = true;  // damage met by a compaction is one
  int refused = 0;
  int told = 0;
  int harmless = 0;
  for (int seed = GetParam() * 50; seed < GetParam() * 50 + 50; ++seed) {
    close();
    copy_dir(temp_.file("intact"), options_.dir);
    std::mt19937_64 random(static_cast<std::uint64_t>(seed) + 1);
    const std::string damage = damage_one(random);
    SCOPED_TRACE(fmt::format("seed {}: {}", seed, damage));
    const int code = try_open();
    if (code != 0) {
      EXPECT_TRUE(code == 65 || code == 78) << "exit code " << code << ": " << open_error_;
      ++refused;
    } else if (is_told()) {
      ++told;
    } else {
      ++harmless;
    }
    if (HasFailure()) break;
  }
  // The damage must have been some.
  EXPECT_GT(refused, 5) << told << " told, " << harmless << " harmless";
}

INSTANTIATE_TEST_SUITE_P(Seeds, DamageTest, ::testing::Values(0, 1));

// RocksDB itself goes on behind a write-ahead log that is gone, or that ends early, when there is a
// later one: the newest events are there, and HEAD is content.
class SeveralLogsTest : public StoreDirTest {
 protected:
  void SetUp() override {
    for (Sequence floor = 2; floor < 6; ++floor) {
      fill("a", 50);
      // Flushes the index, and with that a new write-ahead log begins.
      ASSERT_TRUE(store().trim(floor));
    }
    fill("a", 50);
    copy_dir(options_.dir, temp_.file("intact"));
    close();
  }
  std::vector<std::string> write_ahead_logs() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(temp_.file("intact") + "/db"))
      if (entry.path().extension() == ".log") names.push_back(entry.path().filename().string());
    return names;
  }
};

TEST_F(SeveralLogsTest, AreAllNeeded) {
  const std::vector<std::string> names = write_ahead_logs();
  ASSERT_GE(names.size(), 4u);
  for (const std::string& name : names) {
    for (const bool is_gone : {true, false}) {
      SCOPED_TRACE(name + (is_gone ? " gone" : " cut"));
      close();
      copy_dir(temp_.file("intact"), options_.dir);
      const fs::path file = fs::path(options_.dir) / "db" / name;
      const auto bytes = fs::file_size(file);
      ASSERT_GT(bytes, 0u);
      is_gone ? fs::remove(file) : (fs::resize_file(file, bytes / 2), true);
      ASSERT_EQ(try_open(), 65) << "events are missing, and nobody says so";
      const auto accepted = accept_loss(options_);
      ASSERT_TRUE(std::holds_alternative<AcceptedLoss>(accepted));
      EXPECT_LT(std::get<AcceptedLoss>(accepted).fork, 250u);
      EXPECT_EQ(check_invariants(open()), std::vector<std::string>{});
      EXPECT_EQ(store().tail().head(), std::get<AcceptedLoss>(accepted).fork);
    }
  }
}

}  // namespace
}  // namespace tidegate::test
