#include "gateway/cloudevents/base64.h"

#include <gtest/gtest.h>

#include "tests/cloudevents/random_input.h"

namespace tidegate {
namespace {

std::string encoded(std::string_view bytes) {
  std::string out;
  append_base64(out, bytes);
  return out;
}

TEST(Base64Test, MatchesTheVectorsOfRfc4648) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(encoded(bytes), text);
    EXPECT_EQ(decode_base64(text), std::string(bytes));
  }
}

TEST(Base64Test, RefusesEveryOtherSpelling) {
  for (std::string_view text : {"Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm 9v",
                                "Zm9v\n", "Zm9-", "Zm9_", "=m9v", "Zg==Zg=="}) {
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
  }
}

TEST(Base64Test, GivesBackAnyBytes) {
  test::RandomInput random;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random.bytes(70);
    EXPECT_EQ(decode_base64(encoded(bytes)), bytes) << "seed " << random.seed();
  }
}

TEST(Base64UrlTest, MatchesTheVectorsWithoutPadding) {
  const std::pair<std::string_view, std::string_view> vectors[] = {
      {"", ""},
      {"f", "Zg"},
      {"fo", "Zm8"},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg"},
      {"fooba", "Zm9vYmE"},
      {"\xff\xef", "_-8"},
      {"\x03\xec\xff\xe0\xc1", "A-z_4ME"}};
  for (const auto& [bytes, text] : vectors) {
    std::string encoded_text;
    append_base64url(encoded_text, bytes);
    EXPECT_EQ(encoded_text, text);
    EXPECT_EQ(decode_base64url(text), std::string(bytes));
  }
}

TEST(Base64UrlTest, RefusesEveryOtherSpelling) {
  for (std::string_view text : {"Z", "Zg==", "Zg=", "Zh", "Zm9", "Zm9vY", "Zm 9v", "Zm9v\n", "Zm9+",
                                "Zm9/", "=", "Zg.", "_-9"}) {
    EXPECT_EQ(decode_base64url(text), std::nullopt) << text;
  }
}

TEST(Base64UrlTest, GivesBackAnyBytes) {
  test::RandomInput random;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random.bytes(70);
    std::string text;
    append_base64url(text, bytes);
    EXPECT_EQ(decode_base64url(text), bytes) << "seed " << random.seed();
  }
}

}  // namespace
}  // namespace tidegate
