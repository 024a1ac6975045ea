#include <string>

#include <benchmark/benchmark.h>

#include "eventstore/base/check.h"
#include "eventstore/record.h"
#include "tools/bench/micro/samples.h"

namespace tidegate::micro {
namespace {

std::string value_of(const NewEvent& event) {
  const RecordView record = sample_record(event, 1'000'000);
  std::string value;
  append_record(value, 1, record.stream, record.revision, record.append_time_us, record.event);
  return value;
}

// The appender's memory is there already, as it is for the second group and all after it.
void record_append(benchmark::State& state) {
  const NewEvent event = sample_event(DataKind::kText, static_cast<std::size_t>(state.range(0)));
  const RecordView record = sample_record(event, 1'000'000);
  std::string value;
  Chain chain = 1;
  for (auto _ : state) {
    value.clear();
    chain = append_record(value, chain, record.stream, record.revision, record.append_time_us,
                          record.event);
    benchmark::DoNotOptimize(value.data());
  }
}
BENCHMARK(record_append)->Arg(128)->Arg(1024);

void record_decode(benchmark::State& state) {
  const NewEvent event = sample_event(DataKind::kText, static_cast<std::size_t>(state.range(0)));
  const std::string value = value_of(event);
  for (auto _ : state) {
    const Result<RecordView> record = decode_record(1'000'000, value);
    TG_CHECK(record.has_value());
    benchmark::DoNotOptimize(record->type.data());
  }
}
BENCHMARK(record_decode)->Arg(128)->Arg(1024);

}  // namespace
}  // namespace tidegate::micro
