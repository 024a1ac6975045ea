#include <benchmark/benchmark.h>

#include "eventstore/event_store.h"
#include "eventstore/tail.h"
#include "tools/bench/micro/samples.h"

namespace tidegate::micro {
namespace {

// A tail of the default size after its first hours: for each new segment an old one goes. Made
// once, because filling it takes a while.
class FullTail {
 public:
  static FullTail& instance() {
    static FullTail full;
    return full;
  }

  Tail& tail() { return tail_; }

  void append_group(std::size_t events) {
    for (std::size_t i = 0; i < events; ++i) {
      ++record_.sequence;
      tail_.append(record_);
    }
    tail_.publish({record_.sequence, 0});
  }

 private:
  FullTail() {
    while (tail_.first() == 1) append_group(1000);
  }

  const NewEvent event_ = sample_event(DataKind::kText, 128);
  RecordView record_ = sample_record(event_, 0);
  Tail tail_{StoreOptions{}.tail_bytes_max, Head{}};
};

void tail_append_group(benchmark::State& state) {
  FullTail& full = FullTail::instance();
  const auto events = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) full.append_group(events);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(tail_append_group)->ArgName("events")->Arg(1)->Arg(128)->Arg(1000);

// Readers that are anywhere in the tail.
void tail_find(benchmark::State& state) {
  const Tail& tail = FullTail::instance().tail();
  const Sequence first = tail.first();
  const Sequence events = tail.head() - first + 1;
  Sequence place = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(tail.find(first + place % events).get());
    place += 1'000'003;
  }
}
BENCHMARK(tail_find);

// What a message of 60 events reads: the place, the records, and their bytes that are encoded
// already.
void segment_read_run(benchmark::State& state) {
  const SegmentRef segment = sample_segment(1024, WireForm::kJson);
  Sequence place = 0;
  for (auto _ : state) {
    const std::size_t begin = segment->index_after(place);
    for (std::size_t i = begin; i < begin + kMessageEvents; ++i) {
      benchmark::DoNotOptimize(segment->record(i).sequence);
      benchmark::DoNotOptimize(encoded(*segment, i, WireForm::kJson).data());
    }
    place = (place + kMessageEvents) % (segment->count() - kMessageEvents);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kMessageEvents));
}
BENCHMARK(segment_read_run);

void segment_encoded_kept(benchmark::State& state) {
  const SegmentRef segment = sample_segment(1, WireForm::kJson);
  for (auto _ : state) benchmark::DoNotOptimize(encoded(*segment, 0, WireForm::kJson).data());
}
BENCHMARK(segment_encoded_kept);

}  // namespace
}  // namespace tidegate::micro
