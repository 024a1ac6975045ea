#include <filesystem>
#include <random>

#include "tests/eventstore/golden.h"
#include "tests/support/store_fixture.h"

// Makes a golden data directory: `make_golden DIR` writes DIR/data and DIR/expected.txt. To be run
// once per format version; the result is committed under tests/eventstore/golden/ and never changes
// (only the log id is random).

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "make_golden: {}\n", why);
  std::exit(1);
}

std::unique_ptr<EventStore> open_or_give_up(const StoreOptions& options) {
  auto opened = EventStore::open(options);
  if (const auto* error = std::get_if<EventStore::OpenError>(&opened))
    give_up(error->error.message);
  return std::move(std::get<0>(opened));
}

// Events of several streams and types, with every kind of length that a varint has here.
void publish(EventStore& store, TestClock& clock, std::mt19937& random, int from, int count) {
  static const char* const kTypes[] = {"order.placed", "order.paid", "flight.departed"};
  for (int i = from; i < from + count; ++i) {
    clock.advance_us(1'000'003);
    const auto result = append_and_wait(
        store, {EventBuilder{.id = fmt::format("golden-{}", i),
                             .stream = fmt::format("golden.{}", random() % 4),
                             .type = kTypes[random() % 3],
                             .source = "/golden",
                             .data = std::string(random() % 300, static_cast<char>('a' + i % 26))}
                    .build()});
    if (!result) give_up(result.error().message);
  }
}

void make(const fs::path& dir) {
  TestClock clock;
  std::mt19937 random(42);
  StoreOptions options;
  options.dir = (dir / "data").string();
  options.ballast_bytes = 0;
  options.clock = &clock;
  fs::create_directories(dir);
  // One part in a table, one in the write-ahead log, and a floor.
  auto store = open_or_give_up(options);
  publish(*store, clock, random, 1, 20);
  store.reset();
  store = open_or_give_up(options);
  store->wait_for_index();
  if (const auto floor = store->trim(6); !floor) give_up(floor.error().message);
  publish(*store, clock, random, 21, 20);
  for (const Sequence sequence : {7u, 33u}) {
    const auto position = store->reader().position_at(sequence);
    if (!position) give_up(position.error().message);
    const auto sought = store->cursors().seek("golden", fmt::format("at-{}", sequence), *position);
    if (!sought) give_up(sought.error().message);
  }
  write_file(dir / "expected.txt", describe_store(*store, "golden"));
  // As a process death would leave it: closing would write everything to tables.
  copy_dir(dir / "data", dir / "copy");
  store.reset();
  copy_dir(dir / "copy", dir / "data");
  fs::remove_all(dir / "copy");
  fs::remove_all(dir / "data" / "wal-kept");
  for (const auto& entry : fs::recursive_directory_iterator(dir / "data")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("LOG") || name.starts_with("OPTIONS") || name == "LOCK")
      fs::remove(entry.path());
  }
}

}  // namespace
}  // namespace tidegate::test

int main(int argc, char** argv) {
  if (argc != 2) tidegate::test::give_up("name the directory to make");
  tidegate::test::make(argv[1]);
}
