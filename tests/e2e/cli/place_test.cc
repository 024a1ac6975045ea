#include "tools/tidegate/place.h"

#include <gtest/gtest.h>

#include "eventstore/base/text.h"
#include "tidegate/v1/event_service.pb.h"
#include "tools/tidegate/selection.h"

namespace tidegate {
namespace {

constexpr std::int64_t kNowUs = 1'767'323'045'000'000;  // 2026-01-02T03:04:05Z
constexpr const char* kPosition = "abcdefghijklmnop.42.0a1b2c3d";

struct PlaceCase {
  const char* text;
  Place::Kind kind;
  Sequence sequence = 0;
  const char* time = "";
};

class PlaceTest : public testing::TestWithParam<PlaceCase> {};

TEST_P(PlaceTest, IsReadAsItWasMeant) {
  const Result<Place> place = parse_place(GetParam().text, kNowUs);
  ASSERT_TRUE(place) << GetParam().text;
  EXPECT_EQ(place->kind, GetParam().kind);
  EXPECT_EQ(place->sequence, GetParam().sequence);
  EXPECT_EQ(place->text, GetParam().text);
  if (place->kind == Place::Kind::kTime) EXPECT_EQ(format_time(place->time_us), GetParam().time);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, PlaceTest,
    testing::Values(
        PlaceCase{"start", Place::Kind::kStart}, PlaceCase{"head", Place::Kind::kHead},
        PlaceCase{"0", Place::Kind::kSequence, 0}, PlaceCase{"1042", Place::Kind::kSequence, 1042},
        PlaceCase{kPosition, Place::Kind::kPosition, 42},
        PlaceCase{"2001-01-02T00:00:00Z", Place::Kind::kTime, 0, "2001-01-02T00:00:00Z"},
        PlaceCase{"2001-01-02T02:00:00.5+02:00", Place::Kind::kTime, 0, "2001-01-02T00:00:00.500Z"},
        PlaceCase{"2001-01-02", Place::Kind::kTime, 0, "2001-01-02T00:00:00Z"},
        PlaceCase{"-5s", Place::Kind::kTime, 0, "2026-01-02T03:04:00Z"},
        PlaceCase{"-15m", Place::Kind::kTime, 0, "2026-01-02T02:49:05Z"},
        PlaceCase{"-2h", Place::Kind::kTime, 0, "2026-01-02T01:04:05Z"},
        PlaceCase{"-1d", Place::Kind::kTime, 0, "2026-01-01T03:04:05Z"}));

TEST(PlaceTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "begin", "-5", "-", "-m", "--5m", "1.5", "1e3", "0x10", "007", "+3", "2001-13-01",
        "2001-01-02 00:00:00", "2001-01-02T00:00:00", "-99999999999d", "99999999999999999999",
        "abcdefghijklmnop.42", "abcdefghijklmnop.42.xyz", "-5w"}) {
    const Result<Place> place = parse_place(text, kNowUs);
    ASSERT_FALSE(place) << text;
    EXPECT_EQ(place.error().code, Code::kBadArgument);
    EXPECT_NE(place.error().message.find("is not a place"), std::string::npos);
  }
}

TEST(DurationTest, HasUnits) {
  EXPECT_EQ(*parse_duration("500ms"), 500'000);
  EXPECT_EQ(*parse_duration("2m"), 120'000'000);
  for (const char* text : {"", "5", "s", "-5s", "5 s", "1.5s", "9999999999999d"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

struct RangeCase {
  const char* from;
  const char* after;
  const char* until;
  bool good;
};

class RangeTest : public testing::TestWithParam<RangeCase> {};

TEST_P(RangeTest, RefusesContradictionsOnly) {
  const Result<Range> range =
      parse_range(GetParam().from, GetParam().after, GetParam().until, kNowUs);
  EXPECT_EQ(range.has_value(), GetParam().good)
      << GetParam().from << "|" << GetParam().after << "|" << GetParam().until;
}

INSTANTIATE_TEST_SUITE_P(
    Combinations, RangeTest,
    testing::Values(RangeCase{"", "", "", true}, RangeCase{"10", "", "10", true},
                    RangeCase{"10", "", "5", false}, RangeCase{"", "10", "10", false},
                    RangeCase{"", "9", "10", true}, RangeCase{"5", "6", "", false},
                    RangeCase{kPosition, "", "42", false}, RangeCase{kPosition, "", "43", true},
                    RangeCase{"-1h", "", "-2h", false}, RangeCase{"-2h", "", "-1h", true},
                    RangeCase{"start", "", "start", false}, RangeCase{"", "start", "", false},
                    RangeCase{"head", "", "head", true}, RangeCase{"-1h", "", "5", true}));

TEST(SelectionTest, TurnsInclusivePlacesIntoExclusiveStarts) {
  const auto start = [](const char* text) { return start_from(*parse_place(text, kNowUs)); };
  EXPECT_EQ(start("7").after_sequence(), 6U);
  EXPECT_EQ(start("0").after_sequence(), 0U);
  EXPECT_EQ(start(kPosition).after(), kPosition);
  EXPECT_EQ(start("start").edge(), v1::EDGE_START);
  EXPECT_EQ(start("2001-01-02").from_time().seconds(), 978'393'600);
  EXPECT_EQ(start_after(*parse_place("7", kNowUs)).after_sequence(), 7U);
  EXPECT_EQ(start_after(*parse_place("2001-01-02", kNowUs)).from_time().nanos(), 1000);
}

}  // namespace
}  // namespace tidegate
