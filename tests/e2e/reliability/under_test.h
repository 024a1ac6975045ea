#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "eventstore/base/guarded.h"
#include "tests/support/gateway_process.h"
#include "tests/support/history_checker.h"
#include "tests/support/publisher.h"
#include "tests/support/subscriber.h"
#include "tests/support/test_scale.h"

namespace tidegate::test {

// TIDEGATE_TEST_SEED, or one of the day; printed, so that a red run can be repeated.
std::uint64_t test_seed();

// The addresses of a gateway that is started again while clients run.
// Thread: any (internally synchronised).
class Addresses {
 public:
  void set(const std::string& http, const std::string& grpc) {
    state_.with([&](State& state) { state = {http, grpc}; });
  }
  std::function<std::string()> http() const {
    return [this] { return state_.with([](const State& state) { return state.http; }); };
  }
  std::function<std::string()> grpc() const {
    return [this] { return state_.with([](const State& state) { return state.grpc; }); };
  }

 private:
  struct State {
    std::string http;
    std::string grpc;
  };
  Guarded<State> state_;
};

// Runs `tidegate` with these arguments to its end.
Finished run_cli(const std::vector<std::string>& arguments);
// `tidegate log verify --data DIR`: what it said when the log is not sound, else "".
std::string verify_problems(const std::string& data_dir);

// Resident memory of a process in KiB, 0 when it has gone.
std::uint64_t resident_kib(pid_t pid);

// The shape of the load that resume and crash tests share.
std::vector<std::string> load_streams();
std::vector<std::string> load_types();
std::vector<std::unique_ptr<Publisher>> make_publishers(const Addresses& addresses,
                                                        double events_per_second,
                                                        std::uint64_t seed,
                                                        const std::string& token = "");
// Subscribers of every kind: exact, `*`, `>`, several patterns, types; both subprotocols; by
// position, bare integer and cursor; some read slowly, some with a window.
std::vector<Subscriber::Options> mixed_subscribers(std::size_t count, int life_min_ms,
                                                   int life_max_ms, std::uint64_t seed);

// Puts the recordings of clients that have stopped together with a read of the log from the
// gateway, and judges. Prints counts. `fleet` may be null.
std::vector<Violation> violations_of(const std::vector<std::unique_ptr<Publisher>>& publishers,
                                     const SubscriberFleet* fleet, const std::string& grpc_address,
                                     const std::string& token = "");
// Likewise; a violation fails the test.
void judge(const std::vector<std::unique_ptr<Publisher>>& publishers, const SubscriberFleet* fleet,
           const std::string& grpc_address, const std::string& token = "");

}  // namespace tidegate::test
