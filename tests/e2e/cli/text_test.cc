#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tools/tidegate/event_lines.h"
#include "tools/tidegate/event_printer.h"
#include "tools/tidegate/output.h"

namespace tidegate {
namespace {

std::string for_terminal(std::string_view text) {
  std::string out;
  append_for_terminal(out, text);
  return out;
}

TEST(TerminalTextTest, LeavesNothingThatATerminalActsOn) {
  EXPECT_EQ(for_terminal("plain \xC3\xA9"), "plain \xC3\xA9");
  EXPECT_EQ(for_terminal("\x1b[31mred\x07"), "\\x1b[31mred\\x07");
  EXPECT_EQ(for_terminal("a\nb\x7F"), "a\\x0ab\\x7f");
  EXPECT_EQ(for_terminal("\xC2\x9B"
                         "31m"),
            "\\u{009b}31m");
  EXPECT_EQ(for_terminal("\xE2\x80\xAE"
                         "gnp"),
            "\\u{202e}gnp");
  EXPECT_EQ(for_terminal("\xFF\xC3"), "\\xff\\xc3");
}

TEST(TerminalTextTest, CutsAtCharacters) {
  EXPECT_EQ(cut_to_columns("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to_columns("abcdefg", 6), "abc...");
  EXPECT_EQ(cut_to_columns("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 4), "\xC3\xA9...");
}

TEST(HumanTextTest, IsShort) {
  EXPECT_EQ(human_bytes(12), "12 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_duration(4'200'000), "4.2s");
  EXPECT_EQ(human_duration(185'000'000), "3m05s");
  EXPECT_EQ(human_duration(7'320'000'000), "2h02m");
}

// What a terminal gets when the event is printed.
std::string on_terminal(Format format, const v1::RecordedEvent& record) {
  int master = -1;
  int slave = -1;
  EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  Output output(slave);
  EXPECT_TRUE(output.is_terminal());
  output.choose(format);
  EventPrinter printer(output);
  printer.print(record);
  EXPECT_TRUE(output.flush());
  std::string text(4096, '\0');
  const ssize_t count = read(master, text.data(), text.size());
  close(slave);
  close(master);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

TEST(EventPrinterTest, SendsNoEscapesOfEventsToATerminal) {
  v1::RecordedEvent record;
  record.set_sequence(7);
  record.set_stream("evil");
  record.mutable_event()->set_type("t\x1b[2J");
  record.mutable_event()->set_text_data(
      "\x7F\xC2\x9B"
      "31m\x1b[31m");
  (*record.mutable_event()->mutable_attributes())["datacontenttype"].set_ce_string("text/plain");
  for (const Format format : {Format::kAuto, Format::kTable, Format::kJsonl}) {
    const std::string text = on_terminal(format, record);
    EXPECT_NE(text.find("evil"), std::string::npos);
    for (const char* code : {"\x1b", "\x7F", "\xC2\x9B"})
      EXPECT_EQ(text.find(code), std::string::npos) << text;
  }
}

TEST(OutputTest, TakesAClosedPipeForEnough) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  Output output(ends[1]);
  output.write("x");
  EXPECT_FALSE(output.flush());
  EXPECT_EQ(*output.stopped(), 0);
  close(ends[1]);
}

TEST(OutputTest, TellsThatTheDiskIsFull) {
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  Output output(full);
  output.write("x");
  EXPECT_FALSE(output.flush());
  EXPECT_FALSE(output.stopped());
  close(full);
}

constexpr const char* kEvent =
    R"({"specversion":"1.0","id":"i","source":"/s","type":"t","subject":"x","time":"2001-01-01T00:47:00Z",)"
    R"("datacontenttype":"application/json","data":{"a": [1, "b"]}})";

TEST(EventLineTest, IsReadBackAsItWasPrinted) {
  EventLineParser parser;
  const Result<EventLine> line =
      parser.parse(std::string(R"({"stream":"a.b","event":)") + kEvent + "}");
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->stream, "a.b");
  v1::RecordedEvent record;
  record.set_sequence(7);
  record.set_stream(line->stream);
  record.set_revision(3);
  record.mutable_time()->set_seconds(978'307'200);
  *record.mutable_event() = line->event;
  std::string printed;
  append_event_line(printed, record);
  EXPECT_EQ(
      printed.rfind(
          R"({"sequence":7,"stream":"a.b","revision":3,"time":"2001-01-01T00:00:00Z","event":{)",
          0),
      0U)
      << printed;
  EXPECT_NE(printed.find(R"("data":{"a":[1,"b"]})"), std::string::npos) << printed;

  const Result<EventLine> again = parser.parse(printed);
  ASSERT_TRUE(again) << again.error().message;
  std::string reprinted;
  *record.mutable_event() = again->event;
  append_event_line(reprinted, record);
  EXPECT_EQ(printed, reprinted);
}

TEST(EventLineTest, SaysWhatIsWrong) {
  const std::string event = kEvent;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not a line of events"},
      {"[]", "not a line of events"},
      {"{}", "`stream` is missing"},
      {R"({"stream":"a"})", "`event` is missing"},
      {R"({"stream":5,"event":)" + event + "}", "not a line of events"},
      {R"({"stream":"a","event":5})", "not a line of events"},
      {R"({"stream":"a..b","event":)" + event + "}", "a..b"},
      {R"({"stream":"$sys","event":)" + event + "}", "$sys"},
      {R"({"stream":"a","stream":"b","event":)" + event + "}", "each member once"},
      {R"({"stream":"a","event":)" + event + "} x", "not a line of events"},
      {R"({"stream":"a","event":{"specversion":"1.0","id":"i","source":"/s"}})", "type"},
      {"{\"stream\":\"\xFF\"}", "UTF-8"},
  };
  EventLineParser parser;
  for (const auto& [line, what] : cases) {
    const Result<EventLine> parsed = parser.parse(line);
    ASSERT_FALSE(parsed) << line;
    EXPECT_NE(parsed.error().message.find(what), std::string::npos)
        << line << ": " << parsed.error().message;
  }
}

}  // namespace
}  // namespace tidegate
