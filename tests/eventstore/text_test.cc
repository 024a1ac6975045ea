// UTF-8 whose end has not come yet.

#include "eventstore/base/text.h"

#include <string>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

TEST(TextTest, FindsTheUnfinishedCharacterAtTheEnd) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8az";
  const std::size_t unfinished[] = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 0};
  for (std::size_t length = 0; length <= text.size(); ++length)
    EXPECT_EQ(unfinished_utf8_bytes(text.substr(0, length)), unfinished[length]) << length;
}

// Of two bytes each: it can become a text exactly if some continuation makes it one.
TEST(TextTest, KnowsWhatCanBecomeText) {
  const auto can_be_completed = [](const std::string& text) {
    for (const std::string rest : {"", "\x80", "\x90", "\xa0"}) {
      for (const std::string end : {"", "\x80", "\x80\x80"}) {
        if (is_valid_utf8(text + rest + end)) return true;
      }
    }
    return false;
  };
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      ASSERT_EQ(unfinished_utf8_bytes(text).has_value(), can_be_completed(text))
          << std::hex << first << " " << second;
    }
  }
}

}  // namespace
}  // namespace tidegate
