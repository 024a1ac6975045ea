// How `tidegate projection` reads definitions and shows rows.

#include <algorithm>
#include <chrono>
#include <poll.h>
#include <pty.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"
#include "tools/tidegate/projection_file.h"
#include "tools/tidegate/projection_live.h"
#include "tools/tidegate/projection_rows.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/projection_wait.h"

namespace tidegate {
namespace {

std::vector<v1::ProjectionRow> rows_of(
    const std::vector<std::pair<std::string, std::string>>& documents) {
  std::vector<v1::ProjectionRow> rows;
  for (const auto& [key, document] : documents) {
    v1::ProjectionRow& row = rows.emplace_back();
    row.set_key(key);
    row.set_document(document);
    row.set_sequence(rows.size());
  }
  return rows;
}

std::string text_of(const RowTable& table) {
  return table_text(table.header, table.rows);
}

TEST(RowTableTest, HasAColumnPerField) {
  const RowTable table =
      row_table(rows_of({{"a", R"({"average":1.23456789,"flights":2})"},
                         {"b", R"({"average":null,"flights":12,"last":{"x":[1,"y"]}})"}}),
                {});
  EXPECT_EQ(text_of(table),
            "KEY  AVERAGE  FLIGHTS  LAST           SEQUENCE\n"
            "a    1.23457  2        -              1\n"
            "b    -        12       {\"x\":[1,\"y\"]}  2\n");
}

TEST(RowTableTest, ShowsOtherDocumentsAsTheyAre) {
  EXPECT_EQ(text_of(row_table(rows_of({{"a", "7"}, {"b", R"(["x"])"}}), {})),
            "KEY  SEQUENCE  VALUE\n"
            "a    1         7\n"
            "b    2         [\"x\"]\n");
  std::string wide = "{\"f0\":0";
  for (int i = 1; i < 20; ++i) wide += ",\"f" + std::to_string(i) + "\":0";
  const RowTable table = row_table(rows_of({{"a", wide + "}"}}), {}, 40);
  EXPECT_EQ(table.header.back(), "value");
  EXPECT_LE(table.rows[0].back().text.size(), 40U);
}

TEST(RowTableTest, SortsByNumbersAndLeavesTheOthersLast) {
  const auto rows = rows_of({{"a", R"({"n":2})"}, {"b", R"({})"}, {"c", R"({"n":10.5})"}});
  const RowTable table = row_table(rows, {.sort = "n", .unfold = ""});
  ASSERT_EQ(table.rows.size(), 3U);
  EXPECT_EQ(table.rows[0][0].text, "c");
  EXPECT_EQ(table.rows[1][0].text, "a");
  EXPECT_EQ(table.rows[2][0].text, "b");
}

TEST(RowTableTest, SortsBeforeItIsCut) {
  auto rows = rows_of({{"a", R"({"n":1})"}, {"b", "7"}, {"c", R"({"n":3})"}});
  sort_rows(rows, {.sort = "n", .unfold = ""});
  EXPECT_EQ(rows[0].key(), "c");
  EXPECT_EQ(rows[1].key(), "a");
  EXPECT_EQ(rows[2].key(), "b");
  const RowTable table = row_table(rows_of({{"all", R"({"board":[{"n":9},{"n":1},{"n":2}]})"}}),
                                   {.sort = "n", .unfold = "board", .lines_max = 2});
  EXPECT_EQ(text_of(table), "KEY  N  SEQUENCE\nall  9  1\nall  2  1\n");
}

TEST(RowTableTest, RefusesFieldsThatNoRowHas) {
  const auto rows = rows_of({{"a", R"({"n":1,"board":[{"to":"LAX","at":1}]})"}, {"b", "7"}});
  EXPECT_TRUE(check_fields(rows, {.sort = "n", .unfold = ""}));
  EXPECT_TRUE(check_fields(rows, {.sort = "at", .unfold = "board"}));
  EXPECT_TRUE(check_fields({}, {.sort = "x", .unfold = "y"}));
  const Status sorted = check_fields(rows, {.sort = "x", .unfold = ""});
  ASSERT_FALSE(sorted);
  EXPECT_EQ(sorted.error().message,
            "--sort x: no row has a field of that name; there are board, n");
  EXPECT_FALSE(check_fields(rows, {.sort = "", .unfold = "n"}));
  EXPECT_FALSE(check_fields(rows, {.sort = "n", .unfold = "board"}));
}

TEST(RowTableTest, UnfoldsAnArrayNewestFirst) {
  const RowTable table = row_table(
      rows_of({{"all", R"({"board":[{"to":"LAX"},{"to":"JFK"}]})"}, {"other", R"({"x":1})"}}),
      {.sort = "", .unfold = "board"});
  EXPECT_EQ(text_of(table),
            "KEY  TO   SEQUENCE\n"
            "all  JFK  1\n"
            "all  LAX  1\n");
}

TEST(RowJsonTest, TellsRemovedRows) {
  const auto rows = rows_of({{"a\"", R"({"n":1})"}, {"b", ""}});
  EXPECT_EQ(row_json(rows[0]), R"({"key":"a\"","value":{"n":1},"sequence":1})");
  EXPECT_EQ(row_json(rows[1]), R"({"key":"b","removed":true,"sequence":2})");
}

TEST(RowMapTest, FollowsAWatch) {
  RowMap rows;
  v1::WatchProjectionResponse told;
  told.set_reset(true);
  for (const v1::ProjectionRow& row : rows_of({{"a", "1"}, {"b", "2"}})) *told.add_rows() = row;
  apply_changes(rows, told);
  EXPECT_EQ(values_of(rows).size(), 2U);
  v1::WatchProjectionResponse removed;
  removed.add_rows()->set_key("a");
  apply_changes(rows, removed);
  ASSERT_EQ(values_of(rows).size(), 1U);
  EXPECT_EQ(values_of(rows)[0].key(), "b");
  v1::WatchProjectionResponse reset;
  reset.set_reset(true);
  apply_changes(rows, reset);
  EXPECT_TRUE(rows.empty());
}

TEST(LiveFrameTest, FitsTheTerminal) {
  std::vector<std::pair<std::string, std::string>> documents;
  for (int i = 0; i < 100; ++i) documents.emplace_back("k" + std::to_string(i), R"({"n":1})");
  const std::string frame = live_frame(rows_of(documents), {}, std::string(200, 't'), 30, 10);
  // The cursor stands below the last line.
  EXPECT_EQ(std::count(frame.begin(), frame.end(), '\n'), 9);
  EXPECT_TRUE(frame.ends_with("... and 94 more\n")) << frame;
  for (std::size_t begin = 0; begin < frame.size(); begin = frame.find('\n', begin) + 1)
    EXPECT_LE(frame.find('\n', begin) - begin, 30U);
  const std::string two = live_frame(rows_of(documents), {}, "title\ntrouble", 30, 10);
  EXPECT_EQ(std::count(two.begin(), two.end(), '\n'), 9);
  EXPECT_TRUE(two.starts_with("title\ntrouble\nKEY ")) << two;
  const std::string small = live_frame(rows_of({{"a", "1"}}), {}, "title", 30, 10);
  EXPECT_EQ(small, "title\nKEY  SEQUENCE  VALUE\na    1         1\n");
}

// What a terminal was given, until it holds `part`.
std::string read_terminal(int terminal, const std::string& part) {
  std::string text;
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (text.find(part) == std::string::npos && std::chrono::steady_clock::now() < patience) {
    pollfd readable{terminal, POLLIN, 0};
    char bytes[4096];
    if (poll(&readable, 1, 20) != 1) continue;
    const ssize_t size = read(terminal, bytes, sizeof bytes);
    if (size > 0) text.append(bytes, static_cast<std::size_t>(size));
  }
  return text;
}

TEST(LiveTableTest, DrawsAgainWhenTheTerminalHasAnotherSize) {
  int terminal = -1;
  int side = -1;
  winsize size{};
  size.ws_col = 80;
  size.ws_row = 24;
  ASSERT_EQ(openpty(&terminal, &side, nullptr, nullptr, &size), 0);
  {
    Output output(side);
    LiveTable table(output, "p", {});
    v1::WatchProjectionResponse told;
    for (const v1::ProjectionRow& row : rows_of({{"a", "1"}})) *told.add_rows() = row;
    told.mutable_place()->set_version(1);
    table.update(told);
    const std::string whole = "p version 1, as of sequence 0, 1 row";
    EXPECT_NE(read_terminal(terminal, whole).find(whole), std::string::npos);
    table.set_trouble("it is paused");
    EXPECT_NE(read_terminal(terminal, "it is paused").find(whole), std::string::npos);
    size.ws_col = 20;
    ASSERT_EQ(ioctl(side, TIOCSWINSZ, &size), 0);
    const std::string cut = "p version 1, as o...";
    EXPECT_NE(read_terminal(terminal, cut).find(cut), std::string::npos);
  }
  close(terminal);
  close(side);
}

v1::Projection projection_of(v1::VersionState state, std::uint64_t sequence) {
  v1::Projection projection;
  projection.set_name("p");
  projection.set_head(20);
  v1::ProjectionVersion& version = *projection.add_versions();
  version.set_number(3);
  version.set_state(state);
  version.set_sequence(sequence);
  version.set_events(1);
  return projection;
}

TEST(ArrivalTest, IsWithTheHeadFoldedIn) {
  v1::Projection projection = projection_of(v1::VERSION_STATE_LIVE, 0);
  EXPECT_EQ(arrival_of(projection, 3, 20), Arrival::kUnderWay);
  EXPECT_EQ(arrival_of(projection, 2, 20), Arrival::kReplaced);
  EXPECT_EQ(arrival_of(projection_of(v1::VERSION_STATE_BUILDING, 20), 3, 20), Arrival::kUnderWay);
  EXPECT_EQ(arrival_of(projection_of(v1::VERSION_STATE_RETIRED, 20), 3, 20), Arrival::kRetired);
  projection.set_paused(true);
  EXPECT_EQ(arrival_of(projection, 3, 20), Arrival::kPaused);
  projection.mutable_versions(0)->mutable_failure()->set_sequence(1);
  EXPECT_EQ(arrival_of(projection, 3, 20), Arrival::kFailed);
  projection.mutable_versions(0)->set_sequence(20);
  EXPECT_EQ(arrival_of(projection, 3, 20), Arrival::kArrived);
}

TEST(LossTest, IsOfWhatWasFoldedBeforeTheFloor) {
  v1::Projection projection = projection_of(v1::VERSION_STATE_LIVE, 20);
  EXPECT_EQ(loss_text(projection, 1), "");
  EXPECT_NE(loss_text(projection, 5).find("events before 5"), std::string::npos);
  projection.mutable_versions(0)->set_began_after(4);
  EXPECT_EQ(loss_text(projection, 5), "");
}

TEST(StrandedTest, AreThoseThatStandStillBelowTheFloor) {
  v1::Projection projection = projection_of(v1::VERSION_STATE_LIVE, 7);
  EXPECT_TRUE(stranded_texts({projection}, 9).empty());
  projection.set_paused(true);
  EXPECT_TRUE(stranded_texts({projection}, 8).empty());
  ASSERT_EQ(stranded_texts({projection}, 9).size(), 1U);
  projection.mutable_versions(0)->set_state(v1::VERSION_STATE_RETIRED);
  EXPECT_TRUE(stranded_texts({projection}, 9).empty());
}

TEST(DefinitionFileTest, TakesTheScriptInBehindTheLinesOfTheFile) {
  const test::TempDir dir;
  test::write_file(dir.file("a.lua"), "-- one\nfunction f() end\n");
  const Result<DefinitionFile> file = with_script(
      "name = \"a\"\nscript_file = \"a.lua\"  # there\nstreams = [\">\"]", dir.path().string());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->text,
            "name = \"a\"\n# script_file = \"a.lua\"  # there\nstreams = [\">\"]\n"
            "script = '''\n-- one\nfunction f() end\n'''\n");
  EXPECT_EQ(file->name, "a");
  EXPECT_EQ(file->script_path, dir.file("a.lua"));
}

TEST(DefinitionFileTest, QuotesAScriptWithQuotes) {
  const test::TempDir dir;
  test::write_file(dir.file("a.lua"), "x = \"'''\\n\"\x01");
  const Result<DefinitionFile> file = with_script("script_file = 'a.lua'", dir.path().string());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->text,
            "# script_file = 'a.lua'\n"
            "script = \"\"\"\nx = \\\"'''\\\\n\\\"\\u0001\"\"\"\n");
}

TEST(DefinitionFileTest, KeepsTheScriptOutOfATable) {
  const test::TempDir dir;
  test::write_file(dir.file("a.lua"), "x = 1\ny = 2\n");
  const Result<DefinitionFile> file =
      with_script("script_file = 'a.lua'\n[on.x]\nn = {}\n", dir.path().string());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->text, "script = \"x = 1\\ny = 2\\n\"\n[on.x]\nn = {}\n");
}

TEST(DefinitionFileTest, TakesOneScriptOnly) {
  const Result<DefinitionFile> both = with_script("script = ''\nscript_file = 'a.lua'\n", "/");
  ASSERT_FALSE(both);
  EXPECT_NE(both.error().message.find("line 2: script_file stands beside script"),
            std::string::npos)
      << both.error().message;
}

TEST(DefinitionFileTest, NamesTheLineThatIsNoText) {
  const test::TempDir dir;
  test::write_file(dir.file("bad.toml"), "name = \"a\"\n# caf\xe9\n");
  const Result<DefinitionFile> bad = read_definition(dir.file("bad.toml"));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, dir.file("bad.toml") + ": line 2 is not UTF-8");
  test::write_file(dir.file("a.lua"), std::string("x\n\ny\0", 5));
  const Result<DefinitionFile> script = with_script("script_file = \"a.lua\"", dir.path().string());
  ASSERT_FALSE(script);
  EXPECT_EQ(script.error().message, dir.file("a.lua") + ": line 3 holds a NUL byte");
}

TEST(DefinitionFileTest, TellsPlacesInTheScriptByItsFile) {
  const DefinitionFile file{"s.toml", "s.lua", "s", ""};
  EXPECT_EQ(in_script_file(file, "definition: s:5: unexpected symbol"),
            "s.lua:5: unexpected symbol");
  EXPECT_EQ(in_script_file(file, "stopped at event 3 (a, b): s:5: no"),
            "stopped at event 3 (a, b): s.lua:5: no");
  EXPECT_EQ(in_script_file(file, "keys: none"), "keys: none");
  EXPECT_EQ(in_script_file({"s.toml", "", "s", ""}, "s:5: no"), "s:5: no");
}

TEST(DefinitionFileTest, LeavesOtherTextToTheGateway) {
  for (const char* text : {"name = ", "name = \"a\"\n[on.x]\nscript_file = \"a.lua\"\n", ""}) {
    const Result<DefinitionFile> same = with_script(text, "/");
    ASSERT_TRUE(same);
    EXPECT_EQ(same->text, text);
  }
  const Result<DefinitionFile> missing = with_script("script_file = \"no.lua\"", "/missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kBadArgument);
  EXPECT_NE(missing.error().message.find("/missing/no.lua"), std::string::npos);
}

}  // namespace
}  // namespace tidegate
