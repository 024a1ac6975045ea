// What no compiler checks: the direction of includes, libraries in their folders, banned words, the
// contract lines of headers, and documents that name code. Reads the source tree only, and takes
// well under a second.

#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/tidy/code_rules.h"
#include "tests/tidy/document_rules.h"
#include "tests/tidy/sizes.h"
#include "tests/tidy/source_tree.h"

namespace tidegate::tidy {
namespace {

using Rule = Findings (*)(const SourceFile&);

void expect_none(const Findings& findings) {
  for (const Finding& finding : findings) {
    ADD_FAILURE() << finding.path << ":" << finding.line << ": " << finding.what;
  }
}

void check_all_files(Rule rule) {
  for (const SourceFile& file : source_files()) expect_none(rule(file));
}

// A wrong source directory would let every other test pass.
TEST(TidyTest, FindsTheSources) {
  const auto& files = source_files();
  const auto is = [](std::string_view path) {
    return [path](const SourceFile& file) { return file.path == path; };
  };
  EXPECT_TRUE(std::any_of(files.begin(), files.end(), is("tests/tidy_test.cc")));
  EXPECT_TRUE(std::any_of(files.begin(), files.end(), is("eventstore/base/result.h")));
}

TEST(TidyTest, IncludesPointDownwards) {
  check_all_files(wrong_includes);
}

TEST(TidyTest, LibrariesStayInTheirFolders) {
  check_all_files(misplaced_libraries);
}

TEST(TidyTest, BannedWordsAreAbsent) {
  check_all_files(banned_words);
}

TEST(TidyTest, NothingIsMarkedUnfinished) {
  check_all_files(unfinished_marks);
}

TEST(TidyTest, HeadersAreIncludedOnce) {
  check_all_files(missing_pragma_once);
}

TEST(TidyTest, ClassesSayWhichThreadMayUseThem) {
  check_all_files(missing_thread_line);
}

TEST(TidyTest, EveryTestIsInAProgram) {
  std::string lists;
  for (const auto& entry : fs::recursive_directory_iterator(root() / "tests")) {
    if (entry.path().filename() == "CMakeLists.txt") lists += read(entry.path());
  }
  for (const SourceFile& file : source_files()) {
    if (!file.path.starts_with("tests/") || !file.path.ends_with("_test.cc")) continue;
    EXPECT_FALSE(positions_of_word(lists, fs::path(file.path).stem().string()).empty())
        << file.path << " is in no CMakeLists.txt";
  }
}

TEST(TidyTest, WayOfAnEventNamesWhatExists) {
  const std::string document = "docs/architecture.md";
  if (!fs::exists(root() / document)) GTEST_SKIP() << document << " does not exist";
  std::size_t rows = 0;
  expect_none(wrong_way_of_an_event(document, read(root() / document), &rows));
  EXPECT_GT(rows, 0U) << document
                      << " has no table with the columns | n | file | function | thread |";
}

TEST(TidyTest, ReadmeNamesCommandsThatExist) {
  const std::string document = "README.md";
  if (!fs::exists(root() / document)) GTEST_SKIP() << document << " does not exist";
  expect_none(wrong_commands(document, read(root() / document)));
}

// Never fails: a growing file or function is to be noticed, not forbidden.
TEST(TidyTest, PrintsTheLongestFilesAndFunctions) {
  std::vector<Size> files;
  std::vector<Size> functions;
  for (const SourceFile& file : source_files()) {
    files.push_back({lines_of(file.text).size(), file.path});
    const std::vector<Size> of_file = function_sizes(file);
    functions.insert(functions.end(), of_file.begin(), of_file.end());
  }
  std::cout << "longest files (lines)\n";
  for (const Size& size : largest(files, 10))
    std::cout << "  " << size.lines << "  " << size.what << '\n';
  std::cout << "longest functions (lines)\n";
  for (const Size& size : largest(functions, 10))
    std::cout << "  " << size.lines << "  " << size.what << '\n';
}

// ------------------------------------------------------------------------------------- each rule
// catches its violation

struct RuleCase {
  Rule rule;
  std::string path;
  std::string text;
  std::size_t line;  // of the one finding, 0: none
};

class RuleTest : public testing::TestWithParam<RuleCase> {};

TEST_P(RuleTest, FindsExactlyTheViolation) {
  const Findings findings = GetParam().rule(make_file(GetParam().path, GetParam().text));
  ASSERT_EQ(findings.size(), GetParam().line == 0 ? 0U : 1U) << GetParam().path << "\n"
                                                             << GetParam().text;
  for (const Finding& finding : findings) EXPECT_EQ(finding.line, GetParam().line);
}

INSTANTIATE_TEST_SUITE_P(
    Includes, RuleTest,
    testing::Values(
        RuleCase{wrong_includes, "eventstore/a.cc", "\n#include \"gateway/net/b.h\"\n", 2},
        RuleCase{wrong_includes, "eventstore/base/a.h", "#include \"eventstore/types.h\"\n", 1},
        RuleCase{wrong_includes, "gateway/api/a.cc", "#include \"gateway/net/b.h\"\n", 1},
        RuleCase{wrong_includes, "gateway/net/a.cc", "#include \"gateway/config.h\"\n", 1},
        RuleCase{wrong_includes, "gateway/net/a.cc", "#include \"gateway/delivery/b.h\"\n", 0},
        RuleCase{wrong_includes, "gateway/main.cc", "#include \"gateway/ops/b.h\"\n", 0},
        RuleCase{wrong_includes, "gateway/novel/a.cc", "", 1},
        RuleCase{wrong_includes, "tools/tidegate/a.cc", "#include \"gateway/delivery/b.h\"\n", 1},
        RuleCase{wrong_includes, "tools/tidegate/a.cc", "#include \"gateway/cloudevents/b.h\"\n",
                 0},
        RuleCase{wrong_includes, "tools/tidegate/a.cc", "#include \"gateway/auth/b.h\"\n", 0},
        RuleCase{wrong_includes, "gateway/delivery/a.cc", "#include \"gateway/auth/b.h\"\n", 1},
        RuleCase{wrong_includes, "tools/bench/micro/a.cc", "#include \"gateway/delivery/b.h\"\n",
                 0},
        RuleCase{wrong_includes, "gateway/api/a.cc", "#include \"tidegate/v1/event.pb.h\"\n", 0},
        RuleCase{wrong_includes, "gateway/api/a.cc", "#include \"tests/support/b.h\"\n", 1},
        RuleCase{wrong_includes, "eventstore/a.cc", "#include \"tail.h\"\n", 1},
        RuleCase{wrong_includes, "eventstore/a.cc", "#include <eventstore/tail.h>\n", 1},
        RuleCase{wrong_includes, "eventstore/a.cc", "// #include \"gateway/net/b.h\"\n", 0},
        RuleCase{misplaced_libraries, "gateway/ops/a.cc", "#include <boost/asio/post.hpp>\n", 1},
        RuleCase{misplaced_libraries, "gateway/net/a.cc", "#include <boost/beast.hpp>\n", 0},
        RuleCase{misplaced_libraries, "gateway/net/a.h", "#include <grpcpp/grpcpp.h>\n", 1},
        RuleCase{misplaced_libraries, "gateway/a.cc",
                 "#include \"tidegate/v1/event_service.grpc.pb.h\"\n", 1},
        RuleCase{misplaced_libraries, "projections/a.cc", "#include <rocksdb/db.h>\n", 1},
        RuleCase{misplaced_libraries, "gateway/net/a.cc", "#include <curl/curl.h>\n", 1},
        RuleCase{misplaced_libraries, "gateway/auth/a.cc", "#include <curl/curl.h>\n", 0},
        RuleCase{misplaced_libraries, "gateway/delivery/a.cc", "#include <boost/json.hpp>\n", 1}));

INSTANTIATE_TEST_SUITE_P(
    Text, RuleTest,
    testing::Values(
        RuleCase{banned_words, "eventstore/a.cc", "\n\nco_await f();\n", 3},
        RuleCase{banned_words, "eventstore/a.cc",
                 "// co_await\nauto s = R\"(co_await)\"; char c = '\"';\n", 0},
        RuleCase{banned_words, "eventstore/a.cc", "int n = 1'000; std::cout << std::endl;\n", 1},
        RuleCase{banned_words, "eventstore/a.cc", "using namespace std;\n", 1},
        RuleCase{banned_words, "eventstore/a.cc", "using namespace std::chrono;\n", 0},
        RuleCase{banned_words, "eventstore/a.h", "using namespace std::chrono;\n", 1},
        RuleCase{banned_words, "tests/a_test.cc", "using namespace std;\n", 0},
        RuleCase{banned_words, "tests/a_test.cc", "std::this_thread::sleep_for(1ms);\n", 1},
        RuleCase{banned_words, "tests/a_test.cc", "usleep(10);\n", 1},
        RuleCase{unfinished_marks, "eventstore/a.cc", std::string("int a;  // FIX") + "ME\n", 1},
        RuleCase{unfinished_marks, "eventstore/a.cc", std::string("// TO") + "DO: later\n", 1},
        RuleCase{unfinished_marks, "eventstore/a.cc", std::string("// TO") + "DO(#12): later\n", 0},
        RuleCase{missing_pragma_once, "tests/a.h", "// #pragma once\n", 1},
        RuleCase{missing_pragma_once, "tests/a.h", "#pragma once\n", 0},
        RuleCase{missing_thread_line, "gateway/a.h",
                 "enum class E { kA };\nclass B;\nclass A {};\n", 3},
        RuleCase{missing_thread_line, "gateway/a.h",
                 "// Thread: immutable\nclass A final : public B {};\n", 0},
        RuleCase{missing_thread_line, "eventstore/a.h",
                 "struct A {};\ntemplate <class T>\nvoid f(T t) {}\n", 0}));

TEST(DocumentRuleTest, ReportsMissingFilesAndFunctions) {
  const std::string table =
      "| n | file | function | thread |\n|---|---|---|---|\n"
      "| 1 | tests/tidy/sizes.h | `largest(sizes, 10)` | any |\n"
      "| 2 | tests/tidy/absent.h | `largest` | any |\n"
      "| 3 | tests/tidy/sizes.h | `Sizes::no_such_function` | any |\n";
  std::size_t rows = 0;
  const Findings findings = wrong_way_of_an_event("a.md", table, &rows);
  EXPECT_EQ(rows, 3U);
  ASSERT_EQ(findings.size(), 3U);  // row 2: neither the file nor, then, its function
  EXPECT_EQ(findings[0].what, "tests/tidy/absent.h does not exist");
  EXPECT_EQ(findings[2].line, 5U);
}

TEST(DocumentRuleTest, ReportsMissingCommands) {
  EXPECT_TRUE(wrong_commands("a.md", "Run `tools/setup`, then ./build/tools/other.\n").empty());
  const Findings findings =
      wrong_commands("a.md", "Run `tools/setup`\nand ./tools/no_such_command --once.\n");
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].line, 2U);
}

TEST(SizesTest, MeasuresFunctionsAndTests) {
  const std::string text =
      "namespace n {\nclass A {\n  A(int x) : x_{x}, y_{1} {\n    f();\n  }\n  int x_ = {};\n};\n"
      "TEST(B, C) {\n  if (true) {\n  }\n}\n}\n";
  const std::vector<Size> sizes = largest(function_sizes(make_file("tests/a.cc", text)), 10);
  ASSERT_EQ(sizes.size(), 2U);
  EXPECT_EQ(sizes[0].what, "tests/a.cc:8 TEST(B, C)");
  EXPECT_EQ(sizes[0].lines, 4U);
  EXPECT_EQ(sizes[1].what, "tests/a.cc:3 A");
}

}  // namespace
}  // namespace tidegate::tidy
