#include "eventstore/base/whole_file.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tidegate {
namespace {

TEST(WholeFileTest, ReadsWhatWasWritten) {
  const test::TempDir dir;
  const std::string path = dir.file("a");
  ASSERT_TRUE(replace_file(path, "first", 0600));
  ASSERT_TRUE(replace_file(path, std::string(100'000, 'x'), 0600));
  const Result<WholeFile> file = read_whole_file(path, 100'000);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->bytes, std::string(100'000, 'x'));
  EXPECT_EQ(file->mode, 0600U);
  EXPECT_EQ(test::files_below(dir.path()).size(), 1U);
}

TEST(WholeFileTest, ALeftoverDoesNotLendItsPermissions) {
  const test::TempDir dir;
  test::write_file(dir.file("a.new"), "of a crash");
  ASSERT_EQ(chmod(dir.file("a.new").c_str(), 0666), 0);
  ASSERT_TRUE(replace_file(dir.file("a"), "secret", 0600));
  EXPECT_EQ(read_whole_file(dir.file("a"), 100)->mode, 0600U);
}

TEST(WholeFileTest, SaysWhyItCannotRead) {
  const test::TempDir dir;
  EXPECT_EQ(read_whole_file(dir.file("absent"), 10).error().code, Code::kNotFound);
  EXPECT_EQ(read_whole_file(dir.path(), 10).error().code, Code::kInternal);
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_whole_file(dir.file("pipe"), 10).error().code, Code::kInternal);
  test::write_file(dir.file("large"), "12345678901");
  EXPECT_EQ(read_whole_file(dir.file("large"), 10).error().code, Code::kLimit);
}

TEST(WholeFileTest, KeepsTheOldFileWhenItCannotWrite) {
  const test::TempDir dir;
  EXPECT_EQ(replace_file(dir.file("absent/a"), "x", 0600).error().code, Code::kInternal);
  test::write_file(dir.file("a"), "old");
  ASSERT_TRUE(std::filesystem::create_directories(dir.path() / "a.new" / "in the way"));
  EXPECT_EQ(replace_file(dir.file("a"), "new", 0600).error().code, Code::kInternal);
  EXPECT_EQ(test::read_file(dir.file("a")), "old");
}

}  // namespace
}  // namespace tidegate
