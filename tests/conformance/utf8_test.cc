// RFC 6455 section 8.1: what is and what is not UTF-8 (RFC 3629), whole, split over frames at every
// byte, and split over segments by each delivery.

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/conformance/peer.h"

namespace tidegate::test {
namespace {

struct Sequence {
  std::string name;
  std::string bytes;
};

const std::vector<Sequence>& valid_sequences() {
  static const std::vector<Sequence> kAll = {
      {"U+0080, the first of two bytes", "\xc2\x80"},
      {"U+07FF, the last of two bytes", "\xdf\xbf"},
      {"U+0800, the first of three bytes", "\xe0\xa0\x80"},
      {"U+0FFF", "\xe0\xbf\xbf"},
      {"U+1000", "\xe1\x80\x80"},
      {"U+CFFF", "\xec\xbf\xbf"},
      {"U+D7FF, before the surrogates", "\xed\x9f\xbf"},
      {"U+E000, after the surrogates", "\xee\x80\x80"},
      {"U+FDD0, a non-character", "\xef\xb7\x90"},
      {"U+FDEF, a non-character", "\xef\xb7\xaf"},
      {"U+FEFF, a byte order mark inside of a text", "\xef\xbb\xbf"},
      {"U+FFFD, the replacement character", "\xef\xbf\xbd"},
      {"U+FFFE, a non-character", "\xef\xbf\xbe"},
      {"U+FFFF, a non-character", "\xef\xbf\xbf"},
      {"U+10000, the first of four bytes", "\xf0\x90\x80\x80"},
      {"U+1FFFE, a non-character", "\xf0\x9f\xbf\xbe"},
      {"U+1FFFF, a non-character", "\xf0\x9f\xbf\xbf"},
      {"U+3FFFF, a non-character", "\xf0\xbf\xbf\xbf"},
      {"U+40000", "\xf1\x80\x80\x80"},
      {"U+FFFFF", "\xf3\xbf\xbf\xbf"},
      {"U+100000", "\xf4\x80\x80\x80"},
      {"U+10FFFE, a non-character", "\xf4\x8f\xbf\xbe"},
      {"U+10FFFF, the last of all", "\xf4\x8f\xbf\xbf"},
      {"Greek", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"},
      {"Japanese", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
      {"characters of all lengths", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a"},
      {"a combining mark first", "\xcc\x81x"},
  };
  return kAll;
}

const std::vector<Sequence>& invalid_sequences() {
  static const std::vector<Sequence> kAll = {
      {"80, a continuation alone", "\x80"},
      {"BF, a continuation alone", "\xbf"},
      {"two continuations alone", "\x80\xbf"},
      {"a continuation too many", "\xc2\x80\x80"},
      {"C2 without its second byte", "\xc2"},
      {"DF before a letter", "\xdf\x41"},
      {"E0 without its second byte", "\xe0"},
      {"E1 80 without its third byte", "\xe1\x80"},
      {"EF BF before a letter", "\xef\xbf\x41"},
      {"F0 without its second byte", "\xf0"},
      {"F0 90 without its third byte", "\xf0\x90"},
      {"F1 80 80 without its fourth byte", "\xf1\x80\x80"},
      {"F4 8F BF before a letter", "\xf4\x8f\xbf\x41"},
      {"a character within another", "\xe2\xc3\xa9\x82\xac"},
      {"C3 28", "\xc3\x28"},
      {"FE", "\xfe"},
      {"FF", "\xff"},
      {"FE FF, a UTF-16 mark", "\xfe\xff"},
      {"F5, above all characters", "\xf5\x80\x80\x80"},
      {"F8, of five bytes", "\xf8\x88\x80\x80\x80"},
      {"FC, of six bytes", "\xfc\x84\x80\x80\x80\x80"},
      {"overlong slash in two bytes", "\xc0\xaf"},
      {"overlong slash in three bytes", "\xe0\x80\xaf"},
      {"overlong slash in four bytes", "\xf0\x80\x80\xaf"},
      {"overlong slash in five bytes", "\xf8\x80\x80\x80\xaf"},
      {"overlong slash in six bytes", "\xfc\x80\x80\x80\x80\xaf"},
      {"overlong NUL in two bytes", "\xc0\x80"},
      {"overlong NUL in three bytes", "\xe0\x80\x80"},
      {"overlong NUL in four bytes", "\xf0\x80\x80\x80"},
      {"overlong U+007F", "\xc1\xbf"},
      {"overlong U+07FF", "\xe0\x9f\xbf"},
      {"overlong U+FFFF", "\xf0\x8f\xbf\xbf"},
      {"U+D800, the first surrogate", "\xed\xa0\x80"},
      {"U+DB7F", "\xed\xad\xbf"},
      {"U+DBFF", "\xed\xaf\xbf"},
      {"U+DC00", "\xed\xb0\x80"},
      {"U+DFFF, the last surrogate", "\xed\xbf\xbf"},
      {"a pair of surrogates", "\xed\xa0\xbd\xed\xb8\x80"},
      {"U+110000, one too high", "\xf4\x90\x80\x80"},
      {"U+13FFFF", "\xf4\xbf\xbf\xbf"},
      {"a letter, then FF", "x\xff"},
      {"Greek, then a surrogate", "\xce\xba\xe1\xbd\xb9\xed\xa0\x80"},
  };
  return kAll;
}

// The text in one frame, in two cut at every byte of its part [begin, end), and in a frame for each
// byte of that part.
std::vector<FrameCase> splits_of(const std::string& name, const std::string& text,
                                 std::size_t begin, std::size_t end, const Lines& said) {
  std::vector<FrameCase> cases = {{"8.1", name, text_frame(text), said}};
  std::string in_bytes = first_part(text.substr(0, begin));
  for (std::size_t cut = begin; cut < end; ++cut) {
    in_bytes += middle_part(text.substr(cut, 1));
    if (cut == begin) continue;
    cases.push_back({"8.1", fmt::format("{}, cut before byte {}", name, cut - begin + 1),
                     fragments({text.substr(0, cut), text.substr(cut)}), said});
  }
  cases.push_back(
      {"8.1", name + ", a frame for each byte", in_bytes + last_part(text.substr(end)), said});
  return cases;
}

TEST(Utf8Test, TakesEveryCharacter) {
  for (const Sequence& valid : valid_sequences()) {
    const std::string text = echo_text(valid.bytes);
    const std::size_t at = text.find(valid.bytes);
    expect_served(
        splits_of(valid.name, text, at, at + valid.bytes.size(), {"unknown_op " + valid.bytes}));
  }
}

TEST(Utf8Test, TakesTextOfEveryLengthBeforeACharacter) {
  // Checked in words of eight bytes: the character begins at each place in one.
  std::vector<FrameCase> cases;
  for (std::size_t before = 0; before < 9; ++before) {
    const std::string id = std::string(before, 'a') + "\xf0\x9f\x8c\x8a";
    cases.push_back({"8.1",
                     fmt::format("{} letters", before),
                     text_frame(echo_text(id)),
                     {"unknown_op " + id}});
  }
  // Valid, though no JSON: what is wrong is the message, not the text.
  cases.push_back({"8.1", "NUL", text_frame(std::string(1, '\0')), {"bad_message "}});
  cases.push_back({"8.1", "a control character", text_frame("\x1f"), {"bad_message "}});
  cases.push_back({"8.1", "DEL", text_frame("\x7f"), {"bad_message "}});
  cases.push_back({"8.1", "a byte order mark", text_frame("\xef\xbb\xbf{}"), {"bad_message "}});
  cases.push_back({"8.1", "a character alone", text_frame("\xe2\x82\xac"), {"bad_message "}});
  expect_served(cases);
}

TEST(Utf8Test, RefusesWhatIsNoCharacter) {
  for (const Sequence& invalid : invalid_sequences()) {
    const std::string text = echo_text(invalid.bytes);
    const std::size_t at = text.find(invalid.bytes);
    expect_closed({1007}, splits_of(invalid.name, text, at, at + invalid.bytes.size(), {}));
    expect_closed({1007}, {{"8.1", invalid.name + " and nothing else", text_frame(invalid.bytes)},
                           {"8.1", invalid.name + " at the end", text_frame("{}" + invalid.bytes)},
                           {"8.1", invalid.name + " after a long text",
                            text_frame(std::string(1'000, ' ') + invalid.bytes)}});
  }
}

TEST(Utf8Test, RefusesACharacterThatDoesNotEndWithItsMessage) {
  expect_closed(
      {1007},
      {
          {"8.1", "one of two bytes", text_frame("{}\xc3")},
          {"8.1", "one of three bytes", text_frame("{}\xe2")},
          {"8.1", "two of three bytes", text_frame("{}\xe2\x82")},
          {"8.1", "three of four bytes", text_frame("{}\xf0\x9f\x8c")},
          {"8.1", "in fragments", fragments({"{}\xe2", "\x82"})},
          {"8.1", "before an empty last fragment", fragments({"{}\xe2\x82", ""})},
          {"8.1", "continued by a letter", fragments({"\xe2\x82", "x"})},
          {"8.1", "continued by another character", fragments({"\xe2\x82", "\xc3\xa9"})},
          {"8.1", "the rest in the next message", text_frame("{}\xe2\x82") + text_frame("\xac")},
      });
}

// A text that cannot become valid any more need not be waited for.
TEST(Utf8Test, RefusesAMessageThatHasNotEnded) {
  std::vector<FrameCase> cases;
  for (const Sequence& invalid :
       std::vector<Sequence>{{"a continuation alone", "\x80"},
                             {"FF", "\xff"},
                             {"overlong, after its second byte", "\xe0\x80"},
                             {"overlong in four bytes, after its second byte", "\xf0\x80"},
                             {"C0", "\xc0"},
                             {"a surrogate, after its second byte", "\xed\xa0"},
                             {"above U+10FFFF, after its second byte", "\xf4\x90"},
                             {"F5", "\xf5"},
                             {"a letter in a character", "\xe2\x82x"}}) {
    cases.push_back({"8.1", invalid.name + " in the first fragment", first_part(invalid.bytes)});
    cases.push_back({"8.1", invalid.name + " in the second fragment",
                     first_part("\xce\xba") + middle_part(invalid.bytes)});
    cases.push_back({"8.1", invalid.name + " split over fragments",
                     first_part(invalid.bytes.substr(0, 1)) + middle_part(invalid.bytes.substr(1)) +
                         middle_part("")});
  }
  const std::vector<FrameCase> whole_frames = cases;
  for (const FrameCase& item : whole_frames) {
    // What is still missing of the last frame never comes.
    cases.push_back({"8.1", item.name + ", a frame under way",
                     item.bytes + make_frame(Opcode::kContinuation, "", {.length = 10}) + "x"});
  }
  expect_closed({1007}, cases);
}

TEST(Utf8Test, TakesAPingWithinACharacter) {
  const std::string ping = make_frame(Opcode::kPing, "\xe2");
  expect_served({
      {"5.4",
       "one ping",
       first_part("{\"op\":\"echo\",\"id\":\"\xe2\x82") + ping + last_part("\xac\"}"),
       {"pong frame: \xe2", "unknown_op \xe2\x82\xac"}},
      {"5.4",
       "a ping after each byte",
       first_part("{\"op\":\"echo\",\"id\":\"\xf0") + ping + middle_part("\x9f") + ping +
           middle_part("\x8c") + ping + last_part("\x8a\"}"),
       {"pong frame: \xe2", "pong frame: \xe2", "pong frame: \xe2", "unknown_op \xf0\x9f\x8c\x8a"}},
  });
}

TEST(Utf8Test, HoldsForTheReasonOfAClose) {
  std::vector<FrameCase> good;
  for (const Sequence& valid : valid_sequences())
    good.push_back({"5.5.1", "reason: " + valid.name, close_bytes(1000, valid.bytes)});
  expect_closed({1000}, good);
  std::vector<FrameCase> bad;
  for (const Sequence& invalid : invalid_sequences())
    bad.push_back({"8.1", "reason: " + invalid.name, close_bytes(1000, invalid.bytes)});
  expect_closed({1007}, bad);
}

}  // namespace
}  // namespace tidegate::test
