#include "tests/support/simulated_disk.h"

#include <set>

#include <gtest/gtest.h>
#include <rocksdb/file_system.h>

#include "tests/support/unsynced_loss_fs.h"

namespace tidegate::test {
namespace {

using Cut = SimulatedDisk::Cut;
using Files = std::map<std::string, std::string>;

// A disk with a file system of its present run.
class SimulatedDiskTest : public ::testing::Test {
 protected:
  void start(std::uint64_t seed) {
    disk_ = std::make_shared<SimulatedDisk>(seed);
    fs_ = file_system_of(disk_);
  }
  void restart() {
    disk_->restart();
    fs_ = file_system_of(disk_);
  }
  std::unique_ptr<rocksdb::FSWritableFile> create(const std::string& path) {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    EXPECT_TRUE(fs_->NewWritableFile(path, {}, &file, nullptr).ok());
    return file;
  }
  void write(const std::string& path, const std::string& bytes, bool sync) {
    const auto file = create(path);
    EXPECT_TRUE(file->Append(bytes, {}, nullptr).ok());
    if (sync) {
      EXPECT_TRUE(file->Sync({}, nullptr).ok());
    }
  }
  void sync_dir(const std::string& path) {
    std::unique_ptr<rocksdb::FSDirectory> dir;
    ASSERT_TRUE(fs_->NewDirectory(path, {}, &dir, nullptr).ok());
    EXPECT_TRUE(dir->Fsync({}, nullptr).ok());
  }
  // What is left after a power cut, over many seeds.
  template <typename Do>
  std::set<Files> outcomes(Do&& act) {
    std::set<Files> seen;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      start(seed);
      act();
      disk_->cut(Cut::kPower);
      restart();
      seen.insert(disk_->files());
    }
    return seen;
  }

  std::shared_ptr<SimulatedDisk> disk_;
  std::shared_ptr<rocksdb::FileSystem> fs_;
};

TEST_F(SimulatedDiskTest, KeepsWhatWasSyncedWithItsName) {
  const auto seen = outcomes([&] {
    write("/a", "durable", true);
    sync_dir("/");
  });
  EXPECT_EQ(seen, (std::set<Files>{{{"/a", "durable"}}}));
}

TEST_F(SimulatedDiskTest, LosesTheNameWhenTheDirectoryWasNotSynced) {
  const auto seen = outcomes([&] { write("/a", "durable", true); });
  EXPECT_EQ(seen, (std::set<Files>{{}, {{"/a", "durable"}}}));
}

TEST_F(SimulatedDiskTest, LeavesAPrefixOfUnsyncedBytesOrZeros) {
  const auto seen = outcomes([&] {
    const auto file = create("/a");
    sync_dir("/");
    ASSERT_TRUE(file->Append("kept", {}, nullptr).ok());
    ASSERT_TRUE(file->Sync({}, nullptr).ok());
    ASSERT_TRUE(file->Append("more", {}, nullptr).ok());
  });
  EXPECT_TRUE(seen.contains({{"/a", "kept"}}));
  EXPECT_TRUE(seen.contains({{"/a", "keptmore"}}) || seen.contains({{"/a", "keptmor"}}));
  EXPECT_TRUE(seen.contains({{"/a", std::string("kept\0\0\0\0", 8)}}));
  for (const Files& files : seen) {
    const std::string& bytes = files.at("/a");
    ASSERT_TRUE(bytes.starts_with("kept"));
    const std::string rest = bytes.substr(4).substr(0, bytes.substr(4).find('\0'));
    EXPECT_TRUE(std::string("more").starts_with(rest)) << rest;
  }
}

TEST_F(SimulatedDiskTest, LeavesEachSectorWrittenInPlaceAsOneOfItsVersions) {
  const auto seen = outcomes([&] {
    write("/a", std::string(1024, 'o'), true);
    sync_dir("/");
    std::unique_ptr<rocksdb::FSRandomRWFile> file;
    ASSERT_TRUE(fs_->NewRandomRWFile("/a", {}, &file, nullptr).ok());
    ASSERT_TRUE(file->Write(0, std::string(1024, 'n'), {}, nullptr).ok());
  });
  const std::string old(512, 'o');
  const std::string made(512, 'n');
  EXPECT_EQ(
      seen,
      (std::set<Files>{
          {{"/a", old + old}}, {{"/a", old + made}}, {{"/a", made + old}}, {{"/a", made + made}}}));
}

TEST_F(SimulatedDiskTest, UndoesRenamesAndRemovalsWithoutADirectorySync) {
  const auto seen = outcomes([&] {
    write("/old", "1", true);
    write("/gone", "2", true);
    sync_dir("/");
    ASSERT_TRUE(fs_->RenameFile("/old", "/new", {}, nullptr).ok());
    ASSERT_TRUE(fs_->DeleteFile("/gone", {}, nullptr).ok());
  });
  EXPECT_EQ(seen, (std::set<Files>{{{"/old", "1"}, {"/gone", "2"}},
                                   {{"/new", "1"}, {"/gone", "2"}},
                                   {{"/new", "1"}}}));
}

TEST_F(SimulatedDiskTest, ARenameAcrossDirectoriesIsWholeWhicheverIsSynced) {
  for (const char* synced : {"/from", "/to"}) {
    const auto seen = outcomes([&] {
      ASSERT_TRUE(fs_->CreateDir("/from", {}, nullptr).ok());
      ASSERT_TRUE(fs_->CreateDir("/to", {}, nullptr).ok());
      write("/from/a", "1", true);
      sync_dir("/");
      sync_dir("/from");
      ASSERT_TRUE(fs_->RenameFile("/from/a", "/to/a", {}, nullptr).ok());
      sync_dir(synced);
    });
    EXPECT_EQ(seen, (std::set<Files>{{{"/to/a", "1"}}})) << synced;
  }
}

TEST_F(SimulatedDiskTest, AProcessDeathKeepsTheUnsyncedBytes) {
  start(7);
  write("/a", "cached", false);
  disk_->cut(Cut::kProcess);
  restart();
  EXPECT_EQ(disk_->files(), (Files{{"/a", "cached"}}));
}

TEST_F(SimulatedDiskTest, EndsTheRunAtTheChosenChange) {
  start(7);
  const auto file = create("/a");
  disk_->cut_at(3, Cut::kPower);
  EXPECT_TRUE(file->Append("x", {}, nullptr).ok());
  EXPECT_FALSE(file->Sync({}, nullptr).ok());
  EXPECT_TRUE(disk_->is_off());
  restart();
  EXPECT_FALSE(file->Append("y", {}, nullptr).ok()) << "a handle of the earlier run lives on";
  std::unique_ptr<rocksdb::FSWritableFile> again;
  EXPECT_TRUE(fs_->NewWritableFile("/b", {}, &again, nullptr).ok());
}

TEST_F(SimulatedDiskTest, AFailedSyncDropsWhatItShouldHaveWritten) {
  start(7);
  const auto file = create("/a.log");
  sync_dir("/");
  disk_->fail_sync(1, ".log");
  EXPECT_TRUE(file->Append("lost", {}, nullptr).ok());
  EXPECT_FALSE(file->Sync({}, nullptr).ok());
  EXPECT_TRUE(file->Sync({}, nullptr).ok());
  disk_->cut(Cut::kPower);
  restart();
  EXPECT_EQ(disk_->files(), (Files{{"/a.log", ""}}));
}

TEST_F(SimulatedDiskTest, LocksEndWithTheRun) {
  start(7);
  rocksdb::FileLock* first = nullptr;
  rocksdb::FileLock* second = nullptr;
  EXPECT_TRUE(fs_->LockFile("/LOCK", {}, &first, nullptr).ok());
  EXPECT_FALSE(fs_->LockFile("/LOCK", {}, &second, nullptr).ok());
  const auto dead = fs_;
  disk_->cut(Cut::kProcess);
  restart();
  EXPECT_TRUE(fs_->LockFile("/LOCK", {}, &second, nullptr).ok());
  EXPECT_TRUE(dead->UnlockFile(first, {}, nullptr).ok());
  EXPECT_FALSE(fs_->LockFile("/LOCK", {}, &first, nullptr).ok())
      << "the dead released a lock of the living";
  EXPECT_TRUE(fs_->UnlockFile(second, {}, nullptr).ok());
}

}  // namespace
}  // namespace tidegate::test
