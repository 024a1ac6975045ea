#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "eventstore/segment.h"
#include "gateway/cloudevents/cloud_event.h"
#include "projections/definition.h"
#include "projections/fold.h"
#include "tidegate/v1/event.pb.h"
#include "tools/bench/micro/samples.h"

namespace tidegate::micro {
namespace {

constexpr std::size_t kFlights = 100'000;
constexpr std::size_t kFlightsPerCommit = 5'000;

// A departure as the demo's flights are.
NewEvent flight(std::size_t number, const std::string& origin, const std::string& destination,
                unsigned miles) {
  const auto minute = static_cast<std::int64_t>(number / 20);
  v1::CloudEvent event;
  event.set_id(fmt::format("2001-01-01T00:47-{}-{}-{}", origin, destination, number));
  event.set_source("/us-dot/on-time");
  event.set_type("flight.departed");
  auto& attributes = *event.mutable_attributes();
  attributes["time"].mutable_ce_timestamp()->set_seconds(978'307'200 + minute * 60);
  attributes["datacontenttype"].set_ce_string("application/json");
  event.set_text_data(
      fmt::format(R"({{"origin":"{}","destination":"{}","delay_minutes":{},"distance_miles":{}}})",
                  origin, destination, number % 90, miles));
  Result<NewEvent> made = make_new_event(fmt::format("flights.{}.{}", origin, destination), event);
  TG_CHECK(made.has_value(), made.error().message);
  return *std::move(made);
}

SegmentRef flights() {
  auto segment = std::make_shared<Segment>(std::size_t{48} << 20, kFlights);
  std::mt19937 random(2001);
  const auto airport = [&random] {
    const auto number = static_cast<unsigned>(random() % 300);
    return fmt::format("{}{}{}", static_cast<char>('A' + number % 26),
                       static_cast<char>('A' + number / 26), 'X');
  };
  for (std::size_t i = 0; i < kFlights; ++i) {
    const std::string origin = airport();
    const NewEvent event = flight(i, origin, airport(), static_cast<unsigned>(random() % 3000));
    TG_CHECK(segment->append(sample_record(event, i + 1)), i);
  }
  segment->publish(kFlights);
  return segment;
}

// All rows stay in memory.
class NoRows final : public RowSource {
 public:
  Result<std::optional<StoredRow>> find(std::string_view /*key*/) override {
    return std::optional<StoredRow>();
  }
};

constexpr std::string_view kDeclarative = R"(
name = "miles"
streams = ["flights.*.*"]
types = ["flight.departed"]
key = "{stream[1]}"
[on."flight.departed"]
flights = { count = true }
miles = { sum = "/distance_miles" }
)";

constexpr std::string_view kLua = R"(
name = "miles"
streams = ["flights.*.*"]
types = ["flight.departed"]
script = '''
function init() return { flights = 0, miles = 0 } end
function key(event) return event.tokens[2] end
on = {}
on["flight.departed"] = function(state, event)
  state.flights = state.flights + 1
  state.miles = state.miles + event.data.distance_miles
end
'''
)";

// Events by origin, from their bytes in the log to rows as they are committed, the definition's
// filter included.
void fold_flights(benchmark::State& state, std::string_view text) {
  static const SegmentRef segment = flights();
  const Result<Definition> definition = Definition::parse(text);
  TG_CHECK(definition.has_value(), definition.error().message);
  const Result<std::unique_ptr<Fold>> fold = make_fold(*definition);
  TG_CHECK(fold.has_value(), fold.error().message);
  NoRows rows;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kFlights; ++i) {
      const RecordView& record = segment->record(i);
      if (!definition->filter.matches(record.stream, record.type)) continue;
      const Status applied = (*fold)->apply(record, rows);
      TG_CHECK(applied.has_value(), applied.error().message);
      if (i % kFlightsPerCommit != 0) continue;
      const auto changes = (*fold)->take_changes();
      TG_CHECK(changes.has_value(), changes.error().message);
      benchmark::DoNotOptimize(changes->data());
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kFlights));
}
BENCHMARK_CAPTURE(fold_flights, declarative, kDeclarative)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(fold_flights, lua, kLua)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidegate::micro
