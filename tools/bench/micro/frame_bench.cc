#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "eventstore/base/check.h"
#include "gateway/delivery/limits.h"
#include "gateway/net/frame_reader.h"
#include "gateway/net/frame_writer.h"
#include "tools/bench/micro/samples.h"

namespace tidegate::micro {
namespace {

// All of ASCII, so that the text is ASCII with and without it: the reader unmasks in place, and
// each second reading of the same bytes masks them again.
constexpr std::string_view kMask("\x12\x34\x56\x78");

// A client's frame is a server's with a mask.
std::string masked_frame(Opcode opcode, std::string_view payload) {
  std::string frame(FrameHead(opcode, payload.size()).bytes());
  frame[1] = static_cast<char>(frame[1] | 0x80);
  frame += kMask;
  for (std::size_t i = 0; i < payload.size(); ++i) {
    frame += static_cast<char>(payload[i] ^ kMask[i % kMask.size()]);
  }
  return frame;
}

void frame_read(benchmark::State& state, Opcode opcode) {
  const std::string payload(static_cast<std::size_t>(state.range(0)), 'a');
  std::string bytes = masked_frame(opcode, payload);
  FrameReader reader(opcode == Opcode::kBinary, SessionLimits{}.message_bytes);
  for (auto _ : state) {
    std::span<char> rest(bytes);
    const std::optional<Incoming> incoming = reader.read(rest, 0);
    TG_CHECK(incoming.has_value());
    benchmark::DoNotOptimize(incoming->payload.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(frame_read, text, Opcode::kText)->Arg(128)->Arg(1024)->Arg(32 << 10);
BENCHMARK_CAPTURE(frame_read, binary, Opcode::kBinary)->Arg(128)->Arg(1024)->Arg(32 << 10);

// A message of 60 events, put together and taken by the socket in one call (`codec_message` is the
// first part alone).
void frame_write(benchmark::State& state, std::size_t step) {
  const SegmentRef segment = sample_segment(kMessageEvents * step, WireForm::kJson);
  FrameWriter writer;
  std::array<iovec, FrameWriter::kPiecesMax> pieces;
  for (auto _ : state) {
    writer.set_message(Opcode::kText, sample_message(segment, WireForm::kJson, step));
    const std::size_t count = writer.gather(pieces);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i) bytes += pieces[i].iov_len;
    writer.advance(bytes);
    TG_CHECK(writer.is_empty());
  }
}
BENCHMARK_CAPTURE(frame_write, one_run, 1);
BENCHMARK_CAPTURE(frame_write, pieces, 2);

}  // namespace
}  // namespace tidegate::micro
