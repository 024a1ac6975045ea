#include "eventstore/manifest_tail.h"

#include "eventstore/write_ahead_log.h"
#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

using namespace std::string_literals;

// RFC 3720, appendix B.4, gives no check value for these digits; the catalogue of parametrised CRC
// algorithms does ("CRC-32/ISCSI").
TEST(Crc32cTest, OfTheCheckDigits) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AA);  // of RFC 3720
}

// Pieces -----------------------------------------------------------------------------------------

std::string little_endian(std::uint32_t value, std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i);
  return out;
}

std::string piece(PieceType type, const std::string& payload) {
  const std::string summed = static_cast<char>(type) + payload;
  const std::uint32_t sum = crc32c(summed);
  return little_endian((sum >> 15 | sum << 17) + 0xA282EAD8, 4) +
         little_endian(static_cast<std::uint32_t>(payload.size()), 2) + summed;
}

std::string zeros(std::size_t bytes) {
  return std::string(bytes, '\0');
}

const std::string kSound = piece(kFullPiece, "abc") + piece(kFullPiece, "def");

TEST(TornTailTest, OfASoundManifestIsNone) {
  EXPECT_EQ(torn_tail(""), std::nullopt);
  EXPECT_EQ(torn_tail(kSound), std::nullopt);
  EXPECT_EQ(torn_tail(kSound + piece(kFullPiece, "ends with " + zeros(3))), std::nullopt);
}

TEST(TornTailTest, BeginsWithTheRecordThatIsNotWhole) {
  const std::string last = piece(kFullPiece, "ghi");
  for (std::size_t kept = 1; kept < last.size(); ++kept) {
    for (const std::size_t more : {0, 5, 100'000}) {
      const std::string torn = kSound + last.substr(0, kept) + zeros(last.size() - kept + more);
      EXPECT_EQ(torn_tail(torn), kSound.size()) << kept << " " << more;
    }
  }
}

TEST(TornTailTest, BeginsWithTheFirstPieceOfARecord) {
  const std::string first =
      piece(kFirstPiece, std::string(kLogBlockBytes - kSound.size() - kPieceHeaderBytes, 'x'));
  const std::string middle =
      piece(kMiddlePiece, std::string(kLogBlockBytes - kPieceHeaderBytes, 'y'));
  ASSERT_EQ((kSound + first).size(), kLogBlockBytes);
  for (const std::string& end : {zeros(3), zeros(100), piece(kLastPiece, "zz").substr(0, 8) + "\0"s,
                                 middle + zeros(20), middle + "abcde" + zeros(20)}) {
    EXPECT_EQ(torn_tail(kSound + first + end), kSound.size());
  }
  const std::string whole = kSound + first + piece(kLastPiece, "zz");
  EXPECT_EQ(torn_tail(whole + "abc" + zeros(9)), whole.size());
}

TEST(TornTailTest, IsFoundBehindTheTrailerOfABlock) {
  const std::string block =
      kSound +
      piece(kFullPiece, std::string(kLogBlockBytes - kSound.size() - kPieceHeaderBytes - 4, 'x')) +
      zeros(4);
  ASSERT_EQ(block.size(), kLogBlockBytes);
  EXPECT_EQ(torn_tail(block), std::nullopt);
  EXPECT_EQ(torn_tail(block + kSound + "abc" + zeros(9)), block.size() + kSound.size());
}

// RocksDB passes over both.
TEST(TornTailTest, IsNeitherPaddingNorARecordThatTheEndCuts) {
  EXPECT_EQ(torn_tail(kSound + zeros(5)), std::nullopt);
  EXPECT_EQ(torn_tail(kSound + zeros(100'000)), std::nullopt);
  const std::string last = piece(kFullPiece, "ghi");
  for (const std::size_t kept : {5, 8}) {
    EXPECT_EQ(torn_tail(kSound + last.substr(0, kept - 1) + "x"), std::nullopt);
  }
}

TEST(TornTailTest, IsNotOtherDamage) {
  std::string flipped = kSound;
  flipped.back() ^= 1;
  EXPECT_EQ(torn_tail(flipped), std::nullopt) << "the last record, to its end";
  EXPECT_EQ(torn_tail(flipped + zeros(100)), std::nullopt) << "zeros behind a record, not in it";
  EXPECT_EQ(torn_tail(flipped + kSound), std::nullopt) << "sound records behind";
  EXPECT_EQ(torn_tail(flipped + "abc" + zeros(9)), std::nullopt) << "a torn one behind";
  std::string behind = kSound + "abc" + zeros(2 * kLogBlockBytes - kSound.size() - 3) + kSound;
  EXPECT_EQ(torn_tail(behind), std::nullopt) << "sound records in a later block";
  EXPECT_EQ(torn_tail(behind + zeros(50)), std::nullopt) << "sound records in a later block";
  const std::string too_long = "crc." + little_endian(0xFFFF, 2) + "\1x";
  EXPECT_EQ(torn_tail(kSound + too_long + zeros(100)), std::nullopt) << "longer than its block";
  EXPECT_EQ(torn_tail(kSound + "crc.\x09" + "\0\7x"s + zeros(100)), std::nullopt) << "no such type";
}

// A log whose MANIFEST tears ----------------------------------------------------------------------

class ManifestTailTest : public StoreDirTest {
 protected:
  // "before" is a log as a process death leaves it, and the MANIFEST of "after" goes on with a
  // flush.
  void SetUp() override {
    fill("a", 10);
    fill("a", 10);
    store().wait_for_index();
    copy_dir(options_.dir, temp_.file("before"));
    ASSERT_TRUE(store().trim(2));
    copy_dir(options_.dir, temp_.file("after"));
    close();
    name_ = read_file(temp_.file("before") + "/db/CURRENT");
    name_ = "/db/" + name_.substr(0, name_.size() - 1);
    sound_ = read_file(temp_.file("before") + name_);
    whole_ = read_file(temp_.file("after") + name_);
    ASSERT_GT(whole_.size(), sound_.size());
    ASSERT_TRUE(whole_.starts_with(sound_));
    while (const auto next = sound_piece(std::string_view(whole_).substr(last_))) {
      if (last_ + next->bytes == whole_.size()) break;
      last_ += next->bytes;
    }
    ASSERT_GE(last_, sound_.size());
    // The tables that records before the last one name.
    for (const auto& entry : fs::directory_iterator(temp_.file("after") + "/db")) {
      if (entry.path().extension() == ".sst")
        fs::copy_file(entry.path(), temp_.path() / "before/db" / entry.path().filename(),
                      fs::copy_options::skip_existing);
    }
  }
  // The log with this MANIFEST.
  void put(const std::string& manifest) {
    close();
    copy_dir(temp_.file("before"), options_.dir);
    write_file(options_.dir + name_, manifest);
  }
  std::string torn_after(std::size_t kept) const {
    return whole_.substr(0, kept) + zeros(whole_.size() - kept);
  }
  // Without the lock file, which each opening makes.
  std::map<std::string, std::string> files() const {
    auto files = files_below(options_.dir);
    files.erase("LOCK");
    return files;
  }
  void expect_refusal() {
    const auto before = files();
    EXPECT_EQ(try_open(), 65) << open_error_;
    EXPECT_EQ(before, files()) << "a refused opening changed files";
  }

  std::string name_;
  std::string sound_;
  std::string whole_;
  std::size_t last_ = 0;  // where the last record of `whole_` begins
};

TEST_F(ManifestTailTest, TheLogOpensWhereverWhatIsNewIsTorn) {
  for (std::size_t kept = sound_.size(); kept < whole_.size(); ++kept) {
    SCOPED_TRACE(
        fmt::format("{} of {}..{}, the last from {}", kept, sound_.size(), whole_.size(), last_));
    put(torn_after(kept));
    ASSERT_EQ(try_open(), 0) << open_error_;
    ASSERT_EQ(contents().size(), 20u);
  }
  reopen();
  EXPECT_EQ(contents().size(), 20u);
}

// Records behind the torn one are gone as well.
TEST_F(ManifestTailTest, TheLogOpensWhenMoreIsMissingThanTheTornRecord) {
  for (const std::size_t kept : {sound_.size() + 3, sound_.size() + 20}) {
    put(torn_after(kept) + zeros(40'000));
    ASSERT_EQ(try_open(), 0) << open_error_;
    EXPECT_EQ(contents().size(), 20u);
  }
}

TEST_F(ManifestTailTest, ALookAtTheLogChangesNothing) {
  put(torn_after(last_ + 10));
  const auto before = files();
  const auto info = log_info_offline(options_);
  ASSERT_TRUE(std::holds_alternative<LogInfo>(info));
  EXPECT_EQ(std::get<LogInfo>(info).head.sequence, 20u);
  const auto report = verify_offline(options_, [](const VerifyProgress&) { return true; });
  ASSERT_TRUE(std::holds_alternative<VerifyReport>(report));
  EXPECT_TRUE(std::get<VerifyReport>(report).is_clean());
  EXPECT_EQ(before, files());
}

TEST_F(ManifestTailTest, OtherDamageIsRefused) {
  std::string torn_in_the_middle = whole_;
  torn_in_the_middle.replace(sound_.size() - 30, 20, zeros(20));
  std::string flipped = whole_;
  flipped[last_ + 10] ^= 1;
  ASSERT_NE(flipped.back(), '\0');
  for (const std::string& damaged : {torn_in_the_middle, flipped}) {
    put(damaged);
    expect_refusal();
  }
  put(whole_);
  EXPECT_EQ(try_open(), 0) << open_error_;
}

// A synced record that was zeroed looks like a torn one until acknowledged events are missing.
TEST_F(ManifestTailTest, ALogThatMissesEventsIsRefusedAsItWasAndTheLossCanBeAccepted) {
  put(torn_after(last_ + 10));
  for (const auto& entry : fs::directory_iterator(options_.dir + "/db"))
    if (entry.path().extension() == ".log" && entry.file_size() > 0)
      fs::resize_file(entry.path(), entry.file_size() - 1);
  expect_refusal();
  const auto accepted = accept_loss(options_);
  ASSERT_TRUE(std::holds_alternative<AcceptedLoss>(accepted));
  EXPECT_EQ(std::get<AcceptedLoss>(accepted).fork, 10u);
  EXPECT_EQ(try_open(), 0) << open_error_;
}

}  // namespace
}  // namespace tidegate::test
