#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/projections/engine_fixture.h"

namespace tidegate::test {
namespace {

RowQuery query_of(const std::string& projection, Sequence min_sequence = 0,
                  std::uint32_t wait_ms = 30'000) {
  RowQuery query;
  query.projection = projection;
  query.min_sequence = min_sequence;
  query.wait_ms = wait_ms;
  return query;
}

// --------------------------------------------------------------------------------------- folding

TEST_F(EngineTest, RowsAreWhatAnIndependentFoldMakes) {
  options_.tail_bytes_max = std::size_t{64} << 10;
  std::mt19937_64 random(7);
  write_random(random, 400, 12);
  apply(counting());
  write_random(random, 400, 12);
  EXPECT_EQ(rows(), model_of(store()));
  const ProjectionInfo now = info("counting");
  ASSERT_NE(now.live(), nullptr);
  const Checkpoint& checkpoint = now.live()->checkpoint;
  EXPECT_EQ(checkpoint.rows, model_of(store()).size());
  EXPECT_EQ(checkpoint.position, store().reader().position_at(head()).value());
  EXPECT_EQ(now.live()->number, 1u);
  EXPECT_EQ(now.live()->began_after, 0u);
  EXPECT_EQ(now.building(), nullptr);
}

TEST_F(EngineTest, PagesOfAnySizeHoldAllRows) {
  std::mt19937_64 random(8);
  write_random(random, 200, 40);
  apply(counting());
  const RowMap model = model_of(store());
  ASSERT_GT(model.size(), 10u);
  for (const std::uint32_t limit : {1u, 3u, 7u, 1000u})
    EXPECT_EQ(all_rows(engine(), "counting", head(), limit), model) << limit;
}

TEST_F(EngineTest, APageEndsWithTheRowThatReachesItsBytes) {
  for (const char* const key : {"a", "b", "c", "d", "e"}) add(key, 1);
  apply(counting());
  RowQuery query = query_of("counting", head());
  const std::size_t row_bytes = 1 + std::string(R"({"n":1,"total":1})").size();
  query.bytes = 2 * row_bytes;
  const auto page = ask(engine(), query);
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(page->rows.size(), 2u);
  EXPECT_EQ(page->next, "b");
  query.bytes = 0;
  query.after = page->next;
  const auto smallest = ask(engine(), query);
  ASSERT_TRUE(smallest);
  EXPECT_EQ(smallest->rows.size(), 1u);
}

TEST_F(EngineTest, AQueryNamesKeysOrAPrefix) {
  for (const char* const key : {"ab", "a", "b", "abc"}) add(key, 1);
  apply(counting());
  RowQuery query = query_of("counting", head());
  query.selection = RowSelection::make({"b", "ab", "none"}, "").value();
  const auto by_key = ask(engine(), query);
  ASSERT_TRUE(by_key) << by_key.error().message;
  ASSERT_EQ(by_key->rows.size(), 2u);
  EXPECT_EQ(by_key->rows[0].key, "ab");
  EXPECT_EQ(by_key->rows[0].document, R"({"n":1,"total":1})");
  EXPECT_EQ(by_key->rows[0].sequence, 1u);
  EXPECT_EQ(by_key->rows[1].key, "b");
  query.selection = RowSelection::make({}, "ab").value();
  const auto by_prefix = ask(engine(), query);
  ASSERT_TRUE(by_prefix);
  ASSERT_EQ(by_prefix->rows.size(), 2u);
  EXPECT_EQ(by_prefix->rows[1].key, "abc");
  EXPECT_EQ(by_prefix->version, 1u);
  EXPECT_EQ(by_prefix->head, head());
}

TEST_F(EngineTest, GoesOnAfterAReopening) {
  std::mt19937_64 random(9);
  apply(counting());
  apply(counting("second"));
  for (int round = 0; round < 4; ++round) {
    write_random(random, 60, 5);
    if (round % 2 == 0) rows();
    reopen_all();
    EXPECT_EQ(rows(), model_of(store()));
    EXPECT_EQ(rows("second"), rows());
    EXPECT_EQ(info("counting").live()->number, 1u);
  }
}

TEST_F(EngineTest, ManyProjectionsFoldSideBySide) {
  std::mt19937_64 random(10);
  for (int i = 0; i < 12; ++i) {
    apply(counting("p" + std::to_string(i)));
    write_random(random, 60, 4);
  }
  const RowMap model = model_of(store());
  for (int i = 0; i < 12; ++i) EXPECT_EQ(rows("p" + std::to_string(i)), model);
  EXPECT_EQ(engine().list().size(), 12u);
}

// ------------------------------------------------------------------------------------ definitions

TEST_F(EngineTest, RefusesWhatIsNoDefinitionAndChangesNothing) {
  EXPECT_EQ(code_of(engine().apply("name = 3")), Code::kBadArgument);
  EXPECT_EQ(code_of(engine().apply("name = \"x\"\nstreams = [\">\"]\nscript = '''if'''\n")),
            Code::kBadArgument);
  EXPECT_EQ(code_of(engine().apply(counting("_mine"))), Code::kForbidden);
  EXPECT_TRUE(engine().list().empty());
}

TEST_F(EngineTest, SaysOfUnknownNamesThatTheyAre) {
  EXPECT_EQ(code_of(engine().info("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().pause("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().resume("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().rebuild("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().rollback("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().retry("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().skip("x", 1)), Code::kNotFound);
  EXPECT_EQ(code_of(engine().remove("x")), Code::kNotFound);
  EXPECT_EQ(code_of(engine().open_watch({"x", {}, {}})), Code::kNotFound);
  EXPECT_EQ(code_of(ask(engine(), query_of("x"))), Code::kNotFound);
}

TEST_F(EngineTest, HoldsSoManyProjectionsAndNoMore) {
  engine_options_.projections_max = 2;
  apply(counting("one"));
  apply(counting("two"));
  EXPECT_EQ(code_of(engine().apply(counting("three"))), Code::kLimit);
  EXPECT_TRUE(engine().apply(counting("two", "# other\n"))) << "a new version is no new projection";
  ASSERT_TRUE(engine().remove("one"));
  EXPECT_TRUE(engine().apply(counting("three")));
}

TEST_F(EngineTest, RemovesAProjectionForGood) {
  add("a", 1);
  apply(counting());
  rows();
  ASSERT_TRUE(engine().remove("counting"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(code_of(engine().info("counting")), Code::kNotFound);
    EXPECT_EQ(code_of(ask(engine(), query_of("counting"))), Code::kNotFound);
    reopen_all();
  }
  // Its successor does not take over its places.
  EXPECT_EQ(apply(counting()).live()->number, 2u);
  EXPECT_EQ(rows(), model_of(store()));
}

TEST_F(EngineTest, APausedProjectionStandsStill) {
  apply(counting());
  add("a", 1);
  rows();
  EXPECT_TRUE(told(engine().pause("counting")).is_paused);
  reopen_all();
  EXPECT_TRUE(info("counting").is_paused);
  const Sequence later = add("a", 2);
  apply(counting("other"));
  EXPECT_EQ(rows("other").size(), 1u) << "others go on";
  EXPECT_LT(reached("counting"), later);
  EXPECT_EQ(code_of(ask(engine(), query_of("counting", later, 1))), Code::kUnavailable);
  EXPECT_FALSE(told(engine().resume("counting")).is_paused);
  EXPECT_EQ(rows(), model_of(store()));
}

TEST_F(EngineTest, BuiltInsAreSwitchedOnAndOff) {
  engine_options_.built_in = true;
  add("a", 1);
  add("a", 2);
  drop("b");
  const RowMap streams = rows("_streams");
  ASSERT_EQ(streams.size(), 2u);
  EXPECT_NE(streams.at("s.a").document.find(R"("events":2)"), std::string::npos)
      << streams.at("s.a").document;
  EXPECT_NE(streams.at("s.b").document.find(R"("last_type":"drop")"), std::string::npos);
  EXPECT_EQ(rows("_types").size(), 2u);
  EXPECT_EQ(rows("_rates").size(), 1u) << "the clock stands still";
  EXPECT_TRUE(info("_streams").is_built_in);
  EXPECT_EQ(code_of(engine().remove("_streams")), Code::kForbidden);
  reopen_all();
  EXPECT_EQ(info("_streams").live()->number, 1u) << "nothing has changed";
  engine_options_.built_in = false;
  reopen_all();
  EXPECT_TRUE(engine().list().empty());
}

TEST_F(EngineTest, PresenceHasASwitchOfItsOwn) {
  engine_options_.presence = true;
  reopen_all();
  ASSERT_EQ(engine().list().size(), 1u);
  EXPECT_TRUE(info("_presence").is_built_in);
  engine_options_.presence = false;
  engine_options_.built_in = true;
  reopen_all();
  EXPECT_EQ(engine().list().size(), 3u);
}

// ---------------------------------------------------------------------------------------- queries

TEST_F(EngineTest, RefusesAQueryOutOfBounds) {
  apply(counting());
  RowQuery query = query_of("counting");
  query.limit = 0;
  EXPECT_EQ(code_of(ask(engine(), query)), Code::kBadArgument);
  query.limit = 10'001;
  EXPECT_EQ(code_of(ask(engine(), query)), Code::kBadArgument);
  query.limit = 1;
  query.wait_ms = 60'001;
  EXPECT_EQ(code_of(ask(engine(), query)), Code::kBadArgument);
}

TEST_F(EngineTest, WhoWaitsReadsWhatHeWrote) {
  engine_options_.commit_every_ms = 60'000;  // only a waiting query brings the next commit
  apply(counting());
  for (int i = 0; i < 300; ++i) {
    const Sequence sequence = add("k" + std::to_string(i % 3), i);
    RowQuery query = query_of("counting", sequence);
    query.selection = RowSelection::make({"k" + std::to_string(i % 3)}, "").value();
    const auto page = ask(engine(), query);
    ASSERT_TRUE(page) << page.error().message;
    ASSERT_EQ(page->rows.size(), 1u);
    EXPECT_EQ(page->rows[0].sequence, sequence);
    EXPECT_GE(page->position.sequence, sequence);
  }
}

// Counts commits, and notes the largest.
// Thread: any (internally synchronised).
class CommitProbe final : public ProjectionProbe {
 public:
  void committed(std::string_view /*projection*/, std::size_t /*events*/, std::size_t rows,
                 std::int64_t /*commit_us*/) override {
    ++commits;
    if (rows > most_rows) most_rows = rows;
  }
  std::atomic<std::size_t> commits{0};
  std::atomic<std::size_t> most_rows{0};  // written by the folding thread only
};

class EngineCommitsTest : public EngineTest {
 protected:
  EngineCommitsTest() {
    engine_options_.probe = &probe_;
    engine_options_.commit_every_ms = 60'000;
  }
  CommitProbe probe_;
};

TEST_F(EngineCommitsTest, WhoWaitsForMoreThanThereIsHurriesNobody) {
  apply(counting());
  engine().query(query_of("counting", Sequence{1} << 62, 60'000), [](const auto&) {});
  for (int i = 0; i < 100; ++i) add("a", i);
  EXPECT_EQ(rows(), model_of(store()));
  EXPECT_LT(probe_.commits.load(), 10u);
}

// The projection rests then, and only the event that is waited for wakes it.
TEST_F(EngineCommitsTest, WhoWaitsForAnEventThatIsToComeIsAnsweredWithIt) {
  apply(counting());
  add("a", 1);
  rows();
  for (int i = 0; i < 20; ++i) {
    const Sequence last = add("a", 1);
    std::promise<Result<RowPage>> answer;
    auto future = answer.get_future();
    engine().query(query_of("counting", last + 3, 60'000),
                   [&](Result<RowPage> page) { answer.set_value(std::move(page)); });
    for (int j = 0; j < 3; ++j) add("a", 1);
    ASSERT_EQ(future.wait_for(kDeadline), std::future_status::ready);
    EXPECT_TRUE(future.get());
  }
}

// The log's appender waits while one is written.
TEST_F(EngineCommitsTest, ACatchUpIsCommittedInPieces) {
  engine_options_.step_events = 100'000;
  engine_options_.step_ms = 60'000;
  engine_options_.row_cache_bytes_max = std::size_t{64} << 20;
  for (int request = 0; request < 10; ++request) {
    std::vector<NewEvent> events;
    for (int i = 0; i < 1000; ++i) {
      EventBuilder event{.id = fmt::format("{}-{}", request, i),
                         .stream = fmt::format("s.k{}", request * 1000 + i),
                         .type = "add"};
      event.data = R"({"v":1})";
      events.push_back(event.build());
    }
    ASSERT_TRUE(publish(std::move(events)));
  }
  apply(counting());
  EXPECT_EQ(rows().size(), 10'000u);
  EXPECT_GT(probe_.most_rows.load(), 1000u);
  EXPECT_LE(probe_.most_rows.load(), 4096u + 64);
}

TEST_F(EngineTest, AWaitEndsWithHowFarTheProjectionIs) {
  apply(counting());
  add("a", 1);
  rows();
  for (const std::uint32_t wait_ms : {0u, 5u}) {
    const auto page = ask(engine(), query_of("counting", head() + 10, wait_ms));
    ASSERT_FALSE(page);
    EXPECT_EQ(page.error().code, Code::kUnavailable);
    EXPECT_NE(page.error().message.find("event 1, not to 11"), std::string::npos)
        << page.error().message;
  }
}

TEST_F(EngineTest, AWaitForAProjectionThatIsRemovedEnds) {
  apply(counting());
  std::promise<Result<RowPage>> answer;
  engine().query(query_of("counting", 1000),
                 [&](Result<RowPage> page) { answer.set_value(std::move(page)); });
  ASSERT_TRUE(engine().remove("counting"));
  auto future = answer.get_future();
  ASSERT_EQ(future.wait_for(kDeadline), std::future_status::ready);
  EXPECT_EQ(code_of(future.get()), Code::kNotFound);
}

TEST_F(EngineTest, ItsEndAnswersWhatWaits) {
  apply(counting());
  constexpr std::size_t kWaiting = 10'000;
  std::atomic<std::size_t> draining{0};
  std::atomic<std::size_t> overloaded{0};
  for (std::size_t i = 0; i < kWaiting + 10; ++i) {
    engine().query(query_of("counting", 1000, 60'000), [&](const Result<RowPage>& page) {
      if (code_of(page) == Code::kDraining) ++draining;
      if (code_of(page) == Code::kOverloaded) ++overloaded;
    });
  }
  EXPECT_EQ(overloaded.load(), 10u);
  EXPECT_EQ(draining.load(), 0u);
  engine_.reset();
  EXPECT_EQ(draining.load(), kWaiting);
}

TEST_F(EngineTest, ManyThreadsAskWhileItFolds) {
  apply(counting());
  std::atomic<bool> is_done{false};
  std::atomic<std::size_t> stale{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!is_done) {
        const Sequence now = store().tail().head();
        const auto page = ask(engine(), query_of("counting", now));
        if (!page || page->position.sequence < now) ++stale;
      }
    });
  }
  std::mt19937_64 random(11);
  write_random(random, 300, 5);
  is_done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stale.load(), 0u);
  EXPECT_EQ(rows(), model_of(store()));
}

// ----------------------------------------------------------------------------- trims and histories

TEST_F(EngineTest, ATrimLeavesWhatIsNotFolded) {
  apply(counting());
  std::mt19937_64 random(12);
  write_random(random, 100, 5);
  const RowMap model = model_of(store());
  ASSERT_EQ(rows(), model);
  store().wait_for_index();
  const auto floor = store().trim(81);
  ASSERT_TRUE(floor);
  EXPECT_EQ(*floor, 81u);
  EXPECT_EQ(rows(), model) << "rows of trimmed events stay";
  reopen_all();
  EXPECT_EQ(rows(), model);
  // A new fold begins where the log begins.
  EXPECT_EQ(apply(counting("late")).live()->began_after, 80u);
  EXPECT_EQ(rows("late"), model_of(store()));
}

// What the folding thread has not looked at is not trimmed, whatever is asked for.
TEST_F(EngineTest, ATrimWaitsForTheSlowest) {
  std::mt19937_64 random(13);
  write_random(random, 300, 5);
  const RowMap model = model_of(store());
  engine_options_.step_events = 1;
  apply(counting());
  store().wait_for_index();
  Sequence floor = 1;
  ASSERT_TRUE(eventually([&] {
    const auto trimmed = store().trim(head());
    if (!trimmed) return false;
    floor = *trimmed;
    EXPECT_LE(floor, reached("counting") + 1);
    return floor == head();
  }));
  EXPECT_EQ(rows(), model);
}

// Whatever lies between a trim's question for what is needed and its end.
TEST_F(EngineTest, NoTrimOvertakesAVersionThatBegins) {
  std::mt19937_64 random(15);
  apply(counting());
  write_random(random, 50, 5);
  rows();
  std::atomic<bool> is_done{false};
  std::thread trimmer([&] {
    while (!is_done) static_cast<void>(store().trim(store().tail().head()));
  });
  for (std::uint32_t number = 2; number <= 60; ++number) {
    write_random(random, 20, 5);
    if (!engine().rebuild("counting") || !is_live("counting", number)) {
      ADD_FAILURE() << "version " << number;
      break;
    }
  }
  is_done = true;
  trimmer.join();
  for (const VersionInfo& version : info("counting").versions)
    EXPECT_FALSE(version.failure) << version.failure->message;
}

class EngineOnADirectoryTest : public EngineFixture<StoreDirTest> {};

// The rows are on disk, the newest part of the log is lost.
TEST_F(EngineOnADirectoryTest, RowsOfALostPartOfTheLogAreFoldedAnew) {
  std::mt19937_64 random(14);
  apply(counting());
  write_random(random, 200, 6);
  rows();
  engine_.reset();  // flushes
  copy_dir(options_.dir, temp_.file("dead"));
  close();
  copy_dir(temp_.file("dead"), options_.dir);
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(options_.dir) / "db")) {
    if (entry.path().extension() != ".log") continue;
    std::filesystem::resize_file(entry.path(), entry.file_size() / 2);
  }
  ASSERT_EQ(try_open(), 65);
  const auto accepted = accept_loss(options_);
  ASSERT_TRUE(std::holds_alternative<AcceptedLoss>(accepted))
      << std::get<1>(accepted).error.message;
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_LT(head(), 200u);
  if (!engine().info("counting")) apply(counting());  // the definition was in the lost part
  EXPECT_EQ(rows(), model_of(store()));
  write_random(random, 100, 6);
  EXPECT_EQ(rows(), model_of(store()));
}

}  // namespace
}  // namespace tidegate::test
