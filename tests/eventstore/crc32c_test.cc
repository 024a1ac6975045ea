#include <cstddef>
#include <cstdint>
#include <dlfcn.h>
#include <random>
#include <string>

#include <gtest/gtest.h>

// RocksDB's checksum of its write-ahead log, in whose place stands ours (eventstore/crc32c.cc).

namespace {

using Extend = std::uint32_t (*)(std::uint32_t, const char*, std::size_t);
constexpr const char* kName = "_ZN7rocksdb6crc32c6ExtendEjPKcm";

Extend ours() {
  return reinterpret_cast<Extend>(::dlsym(RTLD_DEFAULT, kName));
}
// The library's: the next one after the program's.
Extend of_library() {
  return reinterpret_cast<Extend>(::dlsym(RTLD_NEXT, kName));
}

TEST(Crc32cTest, StandsInThePlaceOfTheLibrarys) {
  ASSERT_NE(ours(), nullptr);
  ASSERT_NE(of_library(), nullptr);
  EXPECT_NE(ours(), of_library());
}

// RFC 3720, appendix B.4.
TEST(Crc32cTest, GivesTheSumsOfTheStandard) {
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  EXPECT_EQ(ours()(0, std::string(32, '\0').data(), 32), 0x8a9136aaU);
  EXPECT_EQ(ours()(0, std::string(32, '\xff').data(), 32), 0x62a8ab43U);
  EXPECT_EQ(ours()(0, ascending.data(), 32), 0x46dd794eU);
}

TEST(Crc32cTest, GivesTheSumsOfTheLibraryWhateverTheLengthAndTheBeginning) {
  std::minstd_rand random(4711);
  std::string bytes(300, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  std::uint32_t crc = 0;
  for (std::size_t size = 0; size <= 80; ++size) {
    for (std::size_t begin = 0; begin < 9; ++begin) {
      const std::uint32_t sum = ours()(crc, bytes.data() + begin, size);
      ASSERT_EQ(sum, of_library()(crc, bytes.data() + begin, size)) << size << " at " << begin;
      crc = sum;
    }
  }
  EXPECT_EQ(ours()(ours()(0, bytes.data(), 13), bytes.data() + 13, bytes.size() - 13),
            ours()(0, bytes.data(), bytes.size()));
}

}  // namespace
