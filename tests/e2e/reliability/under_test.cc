#include "tests/e2e/reliability/under_test.h"

#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <poll.h>

namespace tidegate::test {
namespace {

struct FilterCase {
  std::vector<std::string> streams;
  std::vector<std::string> types;
};

// Every event is wanted by few, so that the load is on the number of readers and not on the bytes.
const std::vector<FilterCase>& filters() {
  static const std::vector<FilterCase> kFilters = {
      {{"orders.eu.1"}, {}},
      {{"orders.*.2"}, {}},
      {{"orders.us.>"}, {}},
      {{"ticks.3", "solo", "deep.>"}, {}},
      {{"*.eu.>"}, {"order.paid"}},
      {{"deep.a.*.c.*"}, {}},
      {{">"}, {"order.cancelled"}},
      {{"ticks.*"}, {"tick", "order.placed"}},
      {{"orders.eu.4", "orders.eu.5", "orders.us.4", "absent.stream"}, {}},
      {{"*"}, {}},
      {{"ticks.7"}, {}},
      {{">"}, {}},
  };
  return kFilters;
}

}  // namespace

std::uint64_t test_seed() {
  static const std::uint64_t kSeed = [] {
    const char* const text = std::getenv("TIDEGATE_TEST_SEED");
    const std::uint64_t seed = text != nullptr
                                   ? std::strtoull(text, nullptr, 10)
                                   : static_cast<std::uint64_t>(std::time(nullptr)) / 86'400;
    std::cout << "TIDEGATE_TEST_SEED=" << seed << '\n';
    return seed;
  }();
  return kSeed;
}

Finished run_cli(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {tidegate_path()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_program(all, {}, Milliseconds(120'000));
}

std::string verify_problems(const std::string& data_dir) {
  const Finished verified = run_cli({"log", "verify", "--data", data_dir, "-o", "json"});
  if (verified.exit_code == 0 && verified.stdout_text.find("\"clean\":true") != std::string::npos)
    return "";
  return "exit " + std::to_string(verified.exit_code) + ": " + verified.stdout_text +
         verified.stderr_text;
}

std::uint64_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

std::vector<std::string> load_streams() {
  std::vector<std::string> streams = {"solo", "deep.a.b.c.d", "deep.a.x.c.e", "deep.b.b.c.d"};
  for (int i = 1; i <= 8; ++i) {
    for (const char* prefix : {"orders.eu.", "orders.us.", "ticks."})
      streams.push_back(prefix + std::to_string(i));
  }
  return streams;
}

std::vector<std::string> load_types() {
  return {"order.placed", "order.paid", "order.cancelled", "tick", "tock"};
}

std::vector<std::unique_ptr<Publisher>> make_publishers(const Addresses& addresses,
                                                        double events_per_second,
                                                        std::uint64_t seed,
                                                        const std::string& token) {
  std::vector<std::unique_ptr<Publisher>> publishers;
  for (std::uint32_t i = 0; i < 4; ++i) {
    Publisher::Options options{
        .number = i, .address = addresses.grpc(), .streams = load_streams(), .types = load_types()};
    options.pipelined = i % 2 == 0 ? 0 : 8;
    options.events_per_second = events_per_second / 4;
    options.seed = seed * 100 + i;
    options.token = token;
    publishers.push_back(std::make_unique<Publisher>(std::move(options)));
  }
  return publishers;
}

std::vector<Subscriber::Options> mixed_subscribers(std::size_t count, int life_min_ms,
                                                   int life_max_ms, std::uint64_t seed) {
  std::vector<Subscriber::Options> all;
  for (std::size_t i = 0; i < count; ++i) {
    const FilterCase& filter = filters()[i % filters().size()];
    Subscriber::Options options{
        .name = "sub-" + std::to_string(i), .streams = filter.streams, .types = filter.types};
    // Strides without a common divisor with the filters' number, so that all combinations come up.
    options.is_binary = i / filters().size() % 2 == 1;
    options.resume = static_cast<Resume>(i / 5 % 3);
    options.life_min_ms = life_min_ms;
    options.life_max_ms = life_max_ms;
    options.pause_max_ms = i % 7 == 3 ? 1500 : 0;
    options.window = i % 11 == 5 ? 120 : 0;
    options.seed = seed * 10'000 + i;
    all.push_back(std::move(options));
  }
  return all;
}

std::vector<Violation> violations_of(const std::vector<std::unique_ptr<Publisher>>& publishers,
                                     const SubscriberFleet* fleet, const std::string& grpc_address,
                                     const std::string& token) {
  History history;
  std::array<std::uint64_t, 3> outcomes = {0, 0, 0};
  for (const auto& publisher : publishers) {
    const auto& records = publisher->records();
    history.requests.insert(history.requests.end(), records.begin(), records.end());
    for (const PublishRecord& record : records)
      ++outcomes[static_cast<std::size_t>(record.outcome)];
  }
  std::uint64_t delivered = 0;
  std::uint64_t connections = 0;
  std::uint64_t cuts = 0;
  if (fleet != nullptr) {
    for (const auto& subscriber : fleet->subscribers()) {
      if (subscriber->is_forbidden()) continue;
      history.subscribers.push_back(subscriber->history());
      connections += subscriber->connections();
      cuts += subscriber->cuts_within_message();
      for (const DeliveryRecord& record : subscriber->history().records) {
        delivered += record.kind == DeliveryRecord::Kind::kEvent ? 1 : 0;
      }
    }
  }
  history.log = read_whole_log(grpc_address, token);
  std::cout << "requests: " << outcomes[1] << " acknowledged, " << outcomes[2] << " refused, "
            << outcomes[0] << " unknown; log: " << history.log.size()
            << " events; subscribers: " << history.subscribers.size() << ", " << connections
            << " connections, " << cuts << " cut within a message, " << delivered
            << " deliveries\n";
  return check_history(history);
}

void judge(const std::vector<std::unique_ptr<Publisher>>& publishers, const SubscriberFleet* fleet,
           const std::string& grpc_address, const std::string& token) {
  const auto violations = violations_of(publishers, fleet, grpc_address, token);
  EXPECT_TRUE(violations.empty()) << describe(violations);
}

}  // namespace tidegate::test
