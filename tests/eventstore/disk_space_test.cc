#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

constexpr std::uint64_t kSoft = std::uint64_t{1} << 30;
constexpr std::uint64_t kHard = std::uint64_t{512} << 20;

class DiskSpaceTest : public StoreTest {
 protected:
  DiskSpaceTest() {
    options_.disk_soft_bytes = kSoft;
    options_.disk_hard_bytes = kHard;
    owners_ = {"ann"};
  }
  // The store looks now and then, not at every request.
  bool eventually_refused() {
    return eventually([&] {
      const auto result = publish({make_event("a", "try-" + std::to_string(++tries_))});
      taken_ += result ? 1 : 0;
      return !result && result.error().code == Code::kDiskLow;
    });
  }
  bool eventually_taken() {
    return eventually([&] {
      const bool taken =
          static_cast<bool>(publish({make_event("a", "try-" + std::to_string(++tries_))}));
      taken_ += taken ? 1 : 0;
      return taken;
    });
  }
  Position at(Sequence sequence) { return store().reader().position_at(sequence).value(); }

  int tries_ = 0;
  std::size_t taken_ = 0;
};

TEST_F(DiskSpaceTest, BelowTheSoftWatermarkPublishingIsRefusedAndHealsByItself) {
  fill("a", 5);
  for (int round = 0; round < 2; ++round) {
    free_bytes_ = kSoft - 1;
    ASSERT_TRUE(eventually_refused());
    const auto refused = publish({make_event("a", "x")});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kDiskLow);
    EXPECT_GT(refused.error().retry_after_ms, 0u);
    EXPECT_TRUE(store().status().disk_low);
    EXPECT_EQ(store().status().disk_free_bytes, kSoft - 1);
    // Reading and cursors go on.
    EXPECT_EQ(contents().size(), 5 + taken_);
    const auto cursor = store().cursors().open("ann", "c", [] {});
    ASSERT_TRUE(cursor);
    std::promise<void> told;
    ASSERT_TRUE(store().cursors().acknowledge("ann", "c", cursor->generation,
                                              at(2 + static_cast<Sequence>(round)),
                                              [&](const Position&) { told.set_value(); }));
    EXPECT_EQ(told.get_future().wait_for(kDeadline), std::future_status::ready);
    free_bytes_ = std::uint64_t{1} << 40;
    ASSERT_TRUE(eventually_taken());
    EXPECT_FALSE(store().status().disk_low);
  }
}

TEST_F(DiskSpaceTest, PublishingBeginsAgainOnlyWithSomeMoreSpace) {
  fill("a", 1);
  free_bytes_ = kSoft - 1;
  ASSERT_TRUE(eventually_refused());
  free_bytes_ = kSoft + 1;
  ASSERT_TRUE(eventually([&] { return store().status().disk_free_bytes == kSoft + 1; }));
  EXPECT_FALSE(publish({make_event("a", "x")})) << "it flaps at the watermark";
  free_bytes_ = 2 * kSoft;
  EXPECT_TRUE(eventually_taken());
}

TEST_F(DiskSpaceTest, BelowTheHardFloorAcknowledgementsWait) {
  fill("a", 5);
  const auto cursor = store().cursors().open("ann", "c", [] {});
  ASSERT_TRUE(cursor);
  free_bytes_ = kHard - 1;
  ASSERT_TRUE(eventually_refused());
  std::atomic<bool> told{false};
  const bool taken = store().cursors().acknowledge("ann", "c", cursor->generation, at(3),
                                                   [&](const Position&) { told = true; });
  // Longer than an acknowledgement waits for a group.
  const std::int64_t end_ms = clock_.steady_ms() + 1500;
  EXPECT_TRUE(eventually([&] { return told || clock_.steady_ms() > end_ms; }));
  EXPECT_FALSE(told);
  free_bytes_ = std::uint64_t{1} << 40;
  ASSERT_TRUE(eventually_taken());
  if (taken) {
    EXPECT_TRUE(eventually([&] { return told.load(); }));
  }
}

TEST_F(DiskSpaceTest, OpeningBetweenTheMarksRefusesPublishingFromTheStart) {
  fill("a", 5);
  close();
  free_bytes_ = kHard + 1;
  open();
  const auto refused = publish({make_event("a", "x")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDiskLow);
  EXPECT_EQ(contents().size(), 5u);
  free_bytes_ = std::uint64_t{1} << 40;
  EXPECT_TRUE(eventually_taken());
}

class BallastTest : public StoreDirTest {
 protected:
  std::uintmax_t ballast() const {
    std::error_code missing;
    const auto size =
        std::filesystem::file_size(std::filesystem::path(options_.dir) / "ballast", missing);
    return missing ? 0 : size;
  }
};

TEST_F(BallastTest, IsLaidInGivenBackBelowTheFloorAndLaidInAgain) {
  options_.ballast_bytes = 65'536;
  open();
  ASSERT_TRUE(eventually([&] { return ballast() == 65'536; }));
  free_bytes_ = options_.disk_hard_bytes - 1;
  EXPECT_TRUE(eventually([&] { return ballast() == 0; }));
  free_bytes_ = std::uint64_t{1} << 40;
  EXPECT_TRUE(eventually([&] { return ballast() == 65'536; }));
}

TEST_F(BallastTest, IsGivenBackToOpen) {
  options_.ballast_bytes = 65'536;
  open();
  ASSERT_TRUE(eventually([&] { return ballast() == 65'536; }));
  fill("a", 3);
  close();
  // A full disk but for the ballast.
  options_.free_bytes = [this](const std::string&) {
    return ballast() == 0 ? options_.disk_hard_bytes : std::uint64_t{0};
  };
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(contents().size(), 3u);
}

}  // namespace
}  // namespace tidegate::test
