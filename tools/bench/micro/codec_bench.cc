#include <string>

#include <benchmark/benchmark.h>

#include "gateway/delivery/codec.h"
#include "tools/bench/micro/samples.h"

namespace tidegate::micro {
namespace {

// Into a string of its own, as `Segment::encoded` does.
void codec_encode(benchmark::State& state, WireForm form, DataKind kind) {
  const NewEvent event = sample_event(kind, static_cast<std::size_t>(state.range(0)));
  const RecordView record = sample_record(event, 1'000'000);
  for (auto _ : state) {
    std::string out;
    encode_event(form, record, out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK_CAPTURE(codec_encode, json_text, WireForm::kJson, DataKind::kText)->Arg(128)->Arg(1024);
BENCHMARK_CAPTURE(codec_encode, json_binary, WireForm::kJson, DataKind::kBinary)
    ->Arg(128)
    ->Arg(1024);
BENCHMARK_CAPTURE(codec_encode, proto_text, WireForm::kProto, DataKind::kText)->Arg(128)->Arg(1024);
BENCHMARK_CAPTURE(codec_encode, proto_binary, WireForm::kProto, DataKind::kBinary)
    ->Arg(128)
    ->Arg(1024);

// A message of 60 events that somebody else has encoded already.
void codec_message(benchmark::State& state, WireForm form, std::size_t step) {
  const SegmentRef segment = sample_segment(kMessageEvents * step, form);
  for (auto _ : state) {
    const OutgoingMessage message = sample_message(segment, form, step);
    benchmark::DoNotOptimize(message.bytes);
  }
}
BENCHMARK_CAPTURE(codec_message, json_one_run, WireForm::kJson, 1);
BENCHMARK_CAPTURE(codec_message, json_pieces, WireForm::kJson, 2);
BENCHMARK_CAPTURE(codec_message, proto_one_run, WireForm::kProto, 1);

}  // namespace
}  // namespace tidegate::micro
