#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "gateway/delivery/interest_index.h"

namespace tidegate::micro {
namespace {

class Listener final : public Interested {
 public:
  void offer(const SegmentRef&, std::size_t, const RecordView&) override {}
};

Listener listener;

Filter filter_of(std::string pattern) {
  Result<Filter> filter = Filter::make({std::move(pattern)}, {});
  TG_CHECK(filter.has_value(), filter.error().message);
  return *std::move(filter);
}

// Each is matched by one subscription.
constexpr std::string_view kExactHit = "orders.eu.1";
constexpr std::string_view kWildcardHit = "orders.uk.1";

// The others are half names, half patterns, and none of them matches. A look-up goes through the
// same nodes of the trie as theirs.
void fill(InterestIndex& index, std::uint64_t others) {
  for (std::uint64_t i = 0; i < others; ++i) {
    const bool is_pattern = i % 2 == 1;
    index.add(i, listener, filter_of(fmt::format("orders.{}.n{}", is_pattern ? "*" : "eu", i)));
  }
  index.add(others, listener, filter_of(std::string(kExactHit)));
  index.add(others + 1, listener, filter_of("orders.uk.*"));
}

// Kept to the end: a function is called again for each repetition, and a million subscriptions take
// a second to make.
InterestIndex& index_with(std::uint64_t others) {
  static std::map<std::uint64_t, InterestIndex> indexes;
  const auto [at, is_new] = indexes.try_emplace(others);
  if (is_new) fill(at->second, others);
  return at->second;
}

void expect_one_match(InterestIndex& index, std::string_view stream) {
  TG_CHECK(index.match(stream).size() == 1, stream);
}

// An event of a stream that had one before.
void interest_match(benchmark::State& state, std::string_view stream) {
  InterestIndex& index = index_with(static_cast<std::uint64_t>(state.range(0)));
  expect_one_match(index, stream);
  for (auto _ : state) benchmark::DoNotOptimize(index.match(stream).data());
}

// A subscription comes or goes, and an event finds that kept results are out of date.
void interest_change_and_match(benchmark::State& state, std::string_view stream) {
  const auto others = static_cast<std::uint64_t>(state.range(0));
  InterestIndex& index = index_with(others);
  expect_one_match(index, stream);
  const Filter filter = filter_of("orders.eu.2");
  const std::uint64_t number = others + 2;
  bool is_there = false;
  for (auto _ : state) {
    if (is_there) {
      index.remove(number, filter);
    } else {
      index.add(number, listener, filter);
    }
    is_there = !is_there;
    benchmark::DoNotOptimize(index.match(stream).data());
  }
  if (is_there) index.remove(number, filter);
}

void numbers_of_others(benchmark::internal::Benchmark* one) {
  one->ArgName("others")->Arg(0)->Arg(100'000)->Arg(1'000'000);
}
BENCHMARK_CAPTURE(interest_match, exact, kExactHit)->Apply(numbers_of_others);
BENCHMARK_CAPTURE(interest_match, wildcard, kWildcardHit)->Apply(numbers_of_others);
BENCHMARK_CAPTURE(interest_change_and_match, exact, kExactHit)->Apply(numbers_of_others);
BENCHMARK_CAPTURE(interest_change_and_match, wildcard, kWildcardHit)->Apply(numbers_of_others);

}  // namespace
}  // namespace tidegate::micro
