#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

// Exit codes of docs/operations.md.
constexpr int kDataError = 65;
constexpr int kCannotCreate = 73;
constexpr int kBusy = 75;
constexpr int kConfig = 78;

class OpenTest : public StoreDirTest {
 protected:
  fs::path dir() const { return options_.dir; }
  Files files() const { return files_below(dir()); }
  // Opens, expects a refusal with this code, and that it changed nothing but the lock file.
  void expect_refusal(int code) {
    Files before = files();
    EXPECT_EQ(try_open(), code) << open_error_;
    Files after = files();
    before.erase("LOCK");
    after.erase("LOCK");
    EXPECT_EQ(before, after) << "a refused opening changed files";
    EXPECT_FALSE(open_error_.empty());
  }
  bool another_process_can_lock() const {
    const std::string lock = (dir() / "LOCK").string();
    const pid_t child = ::fork();
    if (child == 0) {
      // Only calls that are safe after a fork: the parent has threads.
      struct flock request {};
      request.l_type = F_WRLCK;
      request.l_whence = SEEK_SET;
      const int file = ::open(lock.c_str(), O_RDWR);
      ::_exit(file >= 0 && ::fcntl(file, F_SETLK, &request) == 0 ? 1 : 0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    return WEXITSTATUS(status) == 1;
  }
  // The file with the newest events that are not in a table yet. A flush of the index may have
  // begun another one since, which is empty.
  fs::path newest_wal() const {
    fs::path newest;
    for (const auto& entry : fs::directory_iterator(dir() / "db")) {
      if (entry.path().extension() == ".log" && entry.file_size() > 0 && entry.path() > newest)
        newest = entry.path();
    }
    return newest;
  }
  // Writes events and leaves the directory as a process death would: nothing is flushed.
  void write_and_die(std::size_t events) {
    const fs::path live = options_.dir;
    fill("a", events);
    copy_dir(live, temp_.file("dead"));
    close();
    copy_dir(temp_.file("dead"), live);
  }
};

// Who may open ------------------------------------------------------------------------------------

TEST_F(OpenTest, CreatesALogAndOpensItAgain) {
  fill("a", 3);
  const LogId id = store().log_id();
  reopen();
  EXPECT_EQ(store().log_id(), id);
  EXPECT_EQ(contents().size(), 3u);
  const auto info = store().log_info();
  ASSERT_TRUE(info);
  EXPECT_EQ(info->log, id);
  ASSERT_EQ(info->lineage.size(), 1u);
  EXPECT_EQ(info->lineage[0].log, id);
  EXPECT_EQ(info->head, store().reader().position_at(3).value());
  EXPECT_GT(info->bytes, 0u);
}

TEST_F(OpenTest, ASecondOpeningInThisProcessIsBusy) {
  open();
  auto second = EventStore::open(options_);
  ASSERT_TRUE(std::holds_alternative<EventStore::OpenError>(second));
  EXPECT_EQ(std::get<EventStore::OpenError>(second).exit_code, kBusy);
  EXPECT_EQ(fill("a", 1), 1u) << "the first one is disturbed";
  EXPECT_FALSE(another_process_can_lock()) << "the refusal has dropped the lock";
}

TEST_F(OpenTest, ASecondOpeningByAnotherPathIsBusy) {
  open();
  StoreOptions other = options_;
  other.dir = temp_.file("alias");
  fs::create_directory_symlink(options_.dir, other.dir);
  auto second = EventStore::open(other);
  ASSERT_TRUE(std::holds_alternative<EventStore::OpenError>(second));
  EXPECT_EQ(std::get<EventStore::OpenError>(second).exit_code, kBusy);
  EXPECT_FALSE(another_process_can_lock()) << "the refusal has dropped the lock";
  close();
  EXPECT_TRUE(another_process_can_lock()) << "the lock outlives the store";
}

TEST_F(OpenTest, ADirectoryThatAnotherProcessHoldsIsBusy) {
  fill("a", 1);
  close();
  int ready[2];
  int release[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(release), 0);
  const std::string lock = (dir() / "LOCK").string();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Only calls that are safe after a fork: the parent has threads.
    struct flock request {};
    request.l_type = F_WRLCK;
    request.l_whence = SEEK_SET;
    const int file = ::open(lock.c_str(), O_RDWR);
    char byte = ::fcntl(file, F_SETLK, &request) == 0 ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1 || ::read(release[0], &byte, 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  char held = 'n';
  ASSERT_EQ(::read(ready[0], &held, 1), 1);
  EXPECT_EQ(held, 'y');
  EXPECT_EQ(try_open(), kBusy);
  EXPECT_NE(open_error_.find(std::to_string(child)), std::string::npos) << open_error_;
  ASSERT_EQ(::write(release[1], "x", 1), 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(contents().size(), 1u);
}

TEST_F(OpenTest, ADirectoryOfSomethingElseIsRefused) {
  fs::create_directories(dir());
  write_file(dir() / "important.txt", "not ours");
  expect_refusal(kConfig);
  fs::remove(dir() / "important.txt");
  EXPECT_EQ(try_open(), 0) << "an empty directory is welcome: " << open_error_;
}

TEST_F(OpenTest, AFileInPlaceOfTheDirectoryIsRefused) {
  write_file(dir(), "not a directory");
  EXPECT_NE(try_open(), 0);
  EXPECT_EQ(read_file(dir()), "not a directory");
}

TEST_F(OpenTest, ANewerFormatIsRefusedAndANewerMinorIsNot) {
  fill("a", 3);
  close();
  const std::string format = read_file(dir() / "FORMAT");
  write_file(dir() / "FORMAT", "tidegate-log 1.7\n");
  EXPECT_EQ(try_open(), 0) << open_error_;
  close();
  for (const char* text :
       {"tidegate-log 2.0\n", "tidegate-log 18446744073709551615.0\n", "other 1.0\n", ""}) {
    write_file(dir() / "FORMAT", text);
    expect_refusal(kConfig);
  }
  write_file(dir() / "FORMAT", format);
  EXPECT_EQ(contents().size(), 3u);
}

TEST_F(OpenTest, ALogWithoutItsFormatIsNotTakenForAnEmptyDirectory) {
  fill("a", 3);
  close();
  const std::string format = read_file(dir() / "FORMAT");
  fs::remove(dir() / "FORMAT");
  expect_refusal(kConfig);
  // What a creation left that was cut after its last step must not change that.
  fs::create_directories(dir() / ".new");
  EXPECT_NE(try_open(), 0) << "the log was taken for an unfinished creation";
  close();
  write_file(dir() / "FORMAT", format);
  EXPECT_EQ(contents().size(), 3u);
}

TEST_F(OpenTest, TooLittleSpaceIsRefusedBeforeAnythingIsOpened) {
  fill("a", 3);
  close();
  free_bytes_ = options_.disk_hard_bytes - 1;
  EXPECT_EQ(try_open(), kCannotCreate);
  free_bytes_ = std::uint64_t{1} << 40;
  EXPECT_EQ(contents().size(), 3u);
}

TEST_F(OpenTest, TooLittleSpaceForANewLogLeavesNoLog) {
  free_bytes_ = 0;
  EXPECT_EQ(try_open(), kCannotCreate);
  EXPECT_FALSE(fs::exists(dir() / "FORMAT"));
  free_bytes_ = std::uint64_t{1} << 40;
  EXPECT_EQ(fill("a", 1), 1u);
}

// HEAD against the log ---------------------------------------------------------------------------

constexpr std::size_t kSlotDistance = 4096;

TEST_F(OpenTest, OneBadSlotOfHeadIsFine) {
  fill("a", 3);
  close();
  const std::string head = read_file(dir() / "HEAD");
  for (const std::size_t slot : {std::size_t{0}, kSlotDistance}) {
    std::string damaged = head;
    damaged[slot + 20] = static_cast<char>(damaged[slot + 20] ^ 1);
    write_file(dir() / "HEAD", damaged);
    ASSERT_EQ(try_open(), 0) << open_error_;
    EXPECT_EQ(contents().size(), 3u);
    close();
  }
}

TEST_F(OpenTest, AHeadThatSaysNothingIsRefused) {
  fill("a", 3);
  close();
  const std::string head = read_file(dir() / "HEAD");
  std::string both = head;
  both[20] = static_cast<char>(both[20] ^ 1);
  both[kSlotDistance + 20] = static_cast<char>(both[kSlotDistance + 20] ^ 1);
  for (const std::string& damaged :
       {both, std::string(), head.substr(0, 30), std::string(head.size(), '\0')}) {
    write_file(dir() / "HEAD", damaged);
    expect_refusal(kDataError);
  }
  fs::remove(dir() / "HEAD");
  expect_refusal(kDataError);
  write_file(dir() / "HEAD", head);
  EXPECT_EQ(contents().size(), 3u);
}

TEST_F(OpenTest, AHeadOfAnotherLogIsRefused) {
  fill("a", 3);
  close();
  const std::string head = read_file(dir() / "HEAD");
  fs::rename(dir(), temp_.file("first"));
  fill("a", 3);
  close();
  const std::string own = read_file(dir() / "HEAD");
  write_file(dir() / "HEAD", head);
  expect_refusal(kDataError);
  write_file(dir() / "HEAD", own);
}

TEST_F(OpenTest, AProcessDeathLosesNothing) {
  for (int i = 0; i < 3; ++i) {
    write_and_die(20);
    ASSERT_EQ(try_open(), 0) << open_error_;
    EXPECT_EQ(store().tail().head(), static_cast<Sequence>(20 * (i + 1)));
    EXPECT_EQ(check_invariants(*store_), std::vector<std::string>{});
  }
}

struct WalDamage {
  const char* name;
  void (*apply)(const fs::path& wal);
};

class WalDamageTest : public OpenTest, public ::testing::WithParamInterface<WalDamage> {};

TEST_P(WalDamageTest, BelowHeadIsRefusedAndNothingIsTouched) {
  // Several requests, so that the log file has several records.
  for (int i = 0; i < 20; ++i) fill("a", 5);
  write_and_die(5);
  const fs::path intact = temp_.file("intact");
  copy_dir(dir(), intact);
  GetParam().apply(newest_wal());
  expect_refusal(kDataError);
  EXPECT_NE(open_error_.find("accept-loss"), std::string::npos)
      << "the way out is not named: " << open_error_;
  // Again: the refusal itself must not turn the damage into a state that passes.
  expect_refusal(kDataError);
  copy_dir(intact, dir());
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(store().tail().head(), 105u);
}

TEST_P(WalDamageTest, AcceptLossLeadsOutOfIt) {
  for (int i = 0; i < 20; ++i) fill("a", 5);
  const auto written = read_log(store());
  ASSERT_TRUE(written);
  write_and_die(5);
  GetParam().apply(newest_wal());
  ASSERT_EQ(try_open(), kDataError);
  auto accepted = accept_loss(options_);
  ASSERT_TRUE(std::holds_alternative<AcceptedLoss>(accepted))
      << std::get<1>(accepted).error.message;
  const AcceptedLoss& loss = std::get<0>(accepted);
  EXPECT_LT(loss.fork, 105u);
  EXPECT_EQ(loss.acknowledged_head, 105u);
  EXPECT_NE(loss.log, loss.parent);
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(store().log_id(), loss.log);
  const auto left = read_log(store());
  ASSERT_TRUE(left);
  EXPECT_EQ(*left,
            std::vector<LoggedEvent>(written->begin(),
                                     written->begin() + static_cast<std::ptrdiff_t>(loss.fork)));
  EXPECT_EQ(fill("a", 1), loss.fork + 1);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, WalDamageTest,
    ::testing::Values(
        WalDamage{"cut_in_half",
                  [](const fs::path& wal) { fs::resize_file(wal, fs::file_size(wal) / 2); }},
        WalDamage{"last_bytes_cut",
                  [](const fs::path& wal) { fs::resize_file(wal, fs::file_size(wal) - 7); }},
        WalDamage{"byte_flipped_in_the_middle",
                  [](const fs::path& wal) {
                    std::string bytes = read_file(wal);
                    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
                    write_file(wal, bytes);
                  }},
        WalDamage{"byte_flipped_in_the_last_record",
                  [](const fs::path& wal) {
                    std::string bytes = read_file(wal);
                    bytes[bytes.size() - 20] = static_cast<char>(bytes[bytes.size() - 20] ^ 4);
                    write_file(wal, bytes);
                  }},
        WalDamage{
            "zeroed",
            [](const fs::path& wal) { write_file(wal, std::string(fs::file_size(wal), '\0')); }},
        WalDamage{"deleted", [](const fs::path& wal) { fs::remove(wal); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(OpenTest, GarbageBehindTheLastRecordIsNoLoss) {
  write_and_die(20);
  const fs::path wal = newest_wal();
  write_file(wal, read_file(wal) + std::string(5000, '\0'));
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(contents().size(), 20u);
}

}  // namespace
}  // namespace tidegate::test
