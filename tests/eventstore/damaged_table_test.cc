#include <random>

#include <rocksdb/db.h>

#include "tests/eventstore/noise.h"
#include "tests/support/store_fixture.h"

// Accepting a loss in a log whose tables are damaged leads out of it, wherever the damage is.

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<std::string>;

constexpr std::size_t kParts = 3;
constexpr std::size_t kEventsOfPart = 80;

// Changes a bit at this part of the file: 0 is its first byte, 1 its last.
void flip(const std::string& path, double part) {
  std::string bytes = read_file(path);
  const auto place = static_cast<std::size_t>(static_cast<double>(bytes.size() - 1) * part);
  bytes[place] = static_cast<char>(bytes[place] ^ 1);
  write_file(path, bytes);
}

class DamagedTableTest : public StoreDirTest {
 protected:
  DamagedTableTest() { owners_ = {"ann"}; }

  Position at(Sequence sequence) { return store().reader().position_at(sequence).value(); }

  // Three tables of the log, of which each holds a part of the events.
  void write() {
    std::mt19937_64 random(7);
    for (std::size_t part = 0; part < kParts; ++part) {
      for (std::size_t i = 0; i < kEventsOfPart; ++i) {
        EventBuilder event{.id = fmt::format("{}-{}", part, i)};
        event.stream = "s." + std::to_string(random() % 5);
        event.data = noise(random, 1000);
        ASSERT_TRUE(publish({event.build()}));
      }
      reopen();  // writes what was in memory only to a table
    }
    written_ = read_log(store()).value();
    ASSERT_EQ(written_.size(), kParts * kEventsOfPart);
  }

  // The tables of a column family, oldest first.
  Paths tables_of(const std::string& family) const {
    const std::string dir = options_.dir + "/db";
    std::vector<std::string> names;
    EXPECT_TRUE(rocksdb::DB::ListColumnFamilies({}, dir, &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names)
      families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* raw = nullptr;
    EXPECT_TRUE(rocksdb::DB::OpenForReadOnly({}, dir, families, &handles, &raw).ok());
    const std::unique_ptr<rocksdb::DB> db(raw);
    Paths paths;
    std::vector<rocksdb::LiveFileMetaData> files;
    db->GetLiveFilesMetaData(&files);
    for (const auto& file : files) {
      if (file.column_family_name == family) paths.push_back(dir + "/" + file.relative_filename);
    }
    for (auto* handle : handles) EXPECT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  AcceptedLoss accept() {
    auto accepted = accept_loss(options_);
    if (auto* error = std::get_if<EventStore::OpenError>(&accepted)) {
      ADD_FAILURE() << error->exit_code << ": " << error->error.message;
      return {};
    }
    return std::get<AcceptedLoss>(accepted);
  }

  // The log opens, holds what was written up to the fork, and takes more.
  void expect_led_out(const AcceptedLoss& loss) {
    for (const char* left : {"db.copy", "db.links", "db.damaged"})
      EXPECT_FALSE(fs::exists(fs::path(options_.dir) / left)) << left;
    ASSERT_EQ(try_open(), 0) << open_error_;
    EXPECT_EQ(store().log_id(), loss.log);
    const auto left = read_log(store());
    ASSERT_TRUE(left) << left.error().message;
    const auto end = written_.begin() + static_cast<std::ptrdiff_t>(loss.fork);
    EXPECT_EQ(*left, std::vector<LoggedEvent>(written_.begin(), end));
    EXPECT_EQ(check_invariants(store(), owners_), Paths{});
    EXPECT_EQ(fill("s.1", 3), loss.fork + 3);
    reopen();
    EXPECT_EQ(store().tail().head(), loss.fork + 3);
  }

  std::vector<LoggedEvent> written_;
};

struct Damage {
  const char* name;
  void (*apply)(const std::string& table);
  bool is_of_a_block = false;  // other than the first one
  bool is_harmless = false;
};

class DamagedLogTableTest : public DamagedTableTest,
                            public ::testing::WithParamInterface<Damage> {};

TEST_P(DamagedLogTableTest, TheEventsBeforeItAreKept) {
  write();
  close();
  const fs::path intact = temp_.file("intact");
  copy_dir(options_.dir, intact);
  ASSERT_EQ(tables_of("log").size(), kParts);
  for (std::size_t part = 0; part < kParts; ++part) {
    SCOPED_TRACE(part);
    close();
    copy_dir(intact, options_.dir);
    GetParam().apply(tables_of("log")[part]);
    const AcceptedLoss loss = accept();
    EXPECT_EQ(loss.acknowledged_head, written_.size());
    // Nothing of the tables before is lost, and nothing of those behind is kept.
    const Sequence before = part * kEventsOfPart;
    if (GetParam().is_harmless) {
      EXPECT_EQ(loss.fork, written_.size());
    } else if (GetParam().is_of_a_block) {
      EXPECT_GT(loss.fork, before);
      EXPECT_LT(loss.fork, before + kEventsOfPart);
    } else {
      EXPECT_EQ(loss.fork, before);
    }
    EXPECT_FALSE(loss.cursors_lost);
    EXPECT_FALSE(loss.streams_lost);
    expect_led_out(loss);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DamagedLogTableTest,
    ::testing::Values(
        Damage{"first_block", [](const std::string& table) { flip(table, 0); }},
        Damage{"a_block_in_the_middle", [](const std::string& table) { flip(table, 0.5); }, true},
        Damage{"the_last_block", [](const std::string& table) { flip(table, 0.95); }, true},
        Damage{"the_footer", [](const std::string& table) { flip(table, 1); }},
        Damage{"cut_in_half",
               [](const std::string& table) { fs::resize_file(table, fs::file_size(table) / 2); }},
        Damage{"longer",
               [](const std::string& table) { write_file(table, read_file(table) + "x"); }, false,
               true},
        Damage{"empty", [](const std::string& table) { fs::resize_file(table, 0); }},
        Damage{"deleted", [](const std::string& table) { fs::remove(table); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(DamagedTableTest, CursorsPastTheForkAreClampedAndToldOnce) {
  write();
  ASSERT_TRUE(store().cursors().seek("ann", "low", at(3)));
  ASSERT_TRUE(store().cursors().seek("ann", "high", at(190)));
  const Position high = at(190);
  close();
  flip(tables_of("log")[1], 0.5);
  const AcceptedLoss loss = accept();
  EXPECT_EQ(loss.cursors_moved, 1u);
  open();
  EXPECT_EQ(store().tail().head(), loss.fork);
  const auto low = store().cursors().open("ann", "low", [] {});
  ASSERT_TRUE(low && low->state);
  EXPECT_EQ(low->state->position.sequence, 3u);
  EXPECT_EQ(low->state->lapsed_from, 0u);
  const auto moved = store().cursors().open("ann", "high", [] {});
  ASSERT_TRUE(moved && moved->state);
  EXPECT_EQ(moved->state->position, at(loss.fork));
  EXPECT_EQ(moved->state->lapsed_from, high.sequence);
  const auto again = store().cursors().open("ann", "high", [] {});
  ASSERT_TRUE(again && again->state);
  EXPECT_EQ(again->state->lapsed_from, 0u) << "told twice";
}

TEST_F(DamagedTableTest, ADamagedIndexIsDerivedAnew) {
  write();
  const auto before = store().list_streams("", "", 100);
  ASSERT_TRUE(before);
  close();
  const Paths tables = tables_of("index");
  ASSERT_FALSE(tables.empty());
  for (const std::string& table : tables) flip(table, 0.1);
  const AcceptedLoss loss = accept();
  EXPECT_EQ(loss.fork, written_.size());
  EXPECT_FALSE(loss.streams_lost);
  ASSERT_EQ(try_open(), 0) << open_error_;
  const auto after = store().list_streams("", "", 100);
  ASSERT_TRUE(after);
  ASSERT_EQ(after->size(), before->size());
  for (std::size_t i = 0; i < after->size(); ++i) {
    EXPECT_EQ((*after)[i].name, (*before)[i].name);
    EXPECT_EQ((*after)[i].last_revision, (*before)[i].last_revision);
    EXPECT_EQ((*after)[i].last_sequence, (*before)[i].last_sequence);
  }
  expect_led_out(loss);
}

// Below the floor the index is all that is known; a stream with events above it goes on.
TEST_F(DamagedTableTest, ADamagedIndexOfATrimmedLogLosesAtMostStreamsThatAreTrimmedWhole) {
  fill("gone", 10);
  fill("goes.on", 10);
  ASSERT_EQ(store().trim(16).value(), 16u);
  fill("goes.on", 10);
  close();
  for (const std::string& table : tables_of("index")) fs::resize_file(table, 10);
  const AcceptedLoss loss = accept();
  EXPECT_EQ(loss.fork, 30u);
  EXPECT_TRUE(loss.streams_lost);
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(store().floor(), 16u);
  EXPECT_EQ(contents().size(), 15u);
  EXPECT_EQ(check_invariants(store()), Paths{});
  const auto next =
      publish({make_event("goes.on", "x")}, {{"goes.on", Check::Kind::kRevision, 20}});
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ(next->events[0].revision, 21u);
  EXPECT_EQ(fill("gone", 1), 32u);
}

TEST_F(DamagedTableTest, ADamagedLogThatIsTrimmedKeepsTheRevisionsBelowItsFloor) {
  fill("gone", 10);
  std::mt19937_64 random(3);
  for (int i = 0; i < 100; ++i) {
    EventBuilder event{.id = std::to_string(i), .stream = "a", .data = noise(random, 1000)};
    ASSERT_TRUE(publish({event.build()}));
  }
  ASSERT_EQ(store().trim(16).value(), 16u);
  reopen();
  close();
  const Paths tables = tables_of("log");
  ASSERT_FALSE(tables.empty());
  flip(tables.back(), 0.5);
  const AcceptedLoss loss = accept();
  EXPECT_GT(loss.fork, 16u);
  EXPECT_LT(loss.fork, 110u);
  EXPECT_FALSE(loss.streams_lost);
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(contents().size(), loss.fork - 15);
  const auto gone = store().stream_info("gone");
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->last_revision, 10u);
  const auto a = store().stream_info("a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->last_sequence, loss.fork);
  EXPECT_EQ(a->last_revision, loss.fork - 10);
}

TEST_F(DamagedTableTest, CursorsBesideADamagedBlockAreKept) {
  write();
  std::mt19937_64 random(5);
  constexpr int kCursors = 400;
  for (int i = 0; i < kCursors; ++i) {
    ASSERT_TRUE(store().cursors().seek("ann", fmt::format("{:03}-{}", i, noise(random, 100)),
                                       at(static_cast<Sequence>(i % 200))));
  }
  reopen();
  close();
  const Paths tables = tables_of("cursors");
  ASSERT_FALSE(tables.empty());
  flip(tables.back(), 0.5);
  const AcceptedLoss loss = accept();
  EXPECT_EQ(loss.fork, written_.size());
  EXPECT_TRUE(loss.cursors_lost);
  expect_led_out(loss);
  const auto cursors = store().cursors().list("ann", "", "", kCursors);
  ASSERT_TRUE(cursors);
  EXPECT_GT(cursors->size(), kCursors / 2u);
  EXPECT_LT(cursors->size(), static_cast<std::size_t>(kCursors));
}

// A definition, and rows that fill several blocks of a table.
class DamagedRowsTest : public DamagedTableTest {
 protected:
  void write_with_rows() {
    write();
    std::mt19937_64 random(9);
    DerivedRows& rows = store().derived_rows();
    DerivedRows::Batch definition(rows);
    definition.put("d-departures", "streams = [...]");
    definition.put("n", "7");
    ASSERT_TRUE(rows.write_durable(definition));
    for (int i = 0; i < 200; ++i) {
      DerivedRows::Batch batch(rows);
      batch.put(fmt::format("f-{:03}", i), noise(random, 1000));
      ASSERT_TRUE(rows.write(batch));
    }
    ASSERT_TRUE(rows.flush());
    close();
  }

  void expect_definitions_without_rows() {
    ASSERT_EQ(try_open(), 0) << open_error_;
    Paths keys;
    const auto left = store().derived_rows().iterate("", "");
    for (left->seek_to_first(); left->is_valid(); left->next()) keys.emplace_back(left->key());
    EXPECT_TRUE(left->status());
    EXPECT_EQ(keys, (Paths{"d-departures", "n"}));
    EXPECT_EQ(store().derived_rows().get("d-departures").value(), "streams = [...]");
  }
};

TEST_F(DamagedRowsTest, DoNotKeepTheLogFromOpeningForADamagedBlock) {
  write_with_rows();
  const Paths tables = tables_of("projections");
  ASSERT_FALSE(tables.empty());
  flip(tables.back(), 0.5);
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(read_log(store()).value(), written_);
  const auto rows = store().derived_rows().iterate("", "");
  for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
  }
  const Status status = rows->status();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kDataLoss);
  EXPECT_EQ(fill("s.1", 3), written_.size() + 3);
}

TEST_F(DamagedRowsTest, AreLeftOutWhenALossIsAcceptedAndNoEventIsLost) {
  write_with_rows();
  const Paths tables = tables_of("projections");
  ASSERT_FALSE(tables.empty());
  flip(tables.back(), 0.5);
  const AcceptedLoss loss = accept();
  EXPECT_EQ(loss.fork, written_.size());
  EXPECT_FALSE(loss.projections_lost);
  expect_definitions_without_rows();
  expect_led_out(loss);
}

TEST_F(DamagedRowsTest, LeaveTheirDefinitionsToALogThatIsCopied) {
  write_with_rows();
  flip(tables_of("log")[1], 0.5);
  const AcceptedLoss loss = accept();
  EXPECT_FALSE(loss.projections_lost);
  expect_definitions_without_rows();
  expect_led_out(loss);
}

TEST_F(DamagedTableTest, WithoutItsMetaDataNothingCanBeDone) {
  write();
  close();
  for (const std::string& table : tables_of("meta")) flip(table, 0);
  const std::string intact = temp_.file("intact");
  copy_dir(options_.dir + "/db", intact);
  ASSERT_EQ(try_open(), 65);
  const auto accepted = accept_loss(options_);
  const auto* error = std::get_if<EventStore::OpenError>(&accepted);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->exit_code, 65);
  EXPECT_NE(error->error.message.find("backup"), std::string::npos) << error->error.message;
  EXPECT_EQ(files_below(options_.dir + "/db"), files_below(intact));
  expects_fatal_ = true;  // there is no log to look at in the end
}

TEST_F(DamagedTableTest, TooLittleRoomForTheCopyIsToldAndChangesNothing) {
  write();
  close();
  flip(tables_of("log")[1], 0.5);
  options_.free_bytes = [dir = options_.dir](const std::string&) {
    return fs::exists(dir + "/db.copy") ? std::uint64_t{1} << 20 : std::uint64_t{1} << 40;
  };
  const auto before = files_below(options_.dir + "/db");
  const auto accepted = accept_loss(options_);
  const auto* error = std::get_if<EventStore::OpenError>(&accepted);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->exit_code, 73);
  EXPECT_NE(error->error.message.find("room"), std::string::npos) << error->error.message;
  EXPECT_FALSE(fs::exists(options_.dir + "/db.copy")) << "it takes up the room that is wanted";
  EXPECT_EQ(files_below(options_.dir + "/db"), before);
  options_.free_bytes = [](const std::string&) { return std::uint64_t{1} << 40; };
  expect_led_out(accept());
}

}  // namespace
}  // namespace tidegate::test
