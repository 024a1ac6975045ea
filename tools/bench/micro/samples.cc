#include "tools/bench/micro/samples.h"

#include <memory>
#include <utility>

#include "eventstore/base/check.h"
#include "eventstore/record.h"
#include "gateway/cloudevents/cloud_event.h"
#include "gateway/delivery/codec.h"
#include "tools/tidegate/bench_events.h"

namespace tidegate::micro {
namespace {

// With microseconds, as nearly every time has them: a round one is shorter in JSON.
constexpr std::int64_t kTimeUs = 1'790'000'000'123'456;

}  // namespace

NewEvent sample_event(DataKind kind, std::size_t data_bytes) {
  v1::NewEvent made;
  BenchEvents(data_bytes, {"orders.eu.1"}, 0).fill(made, 1, kTimeUs);
  v1::CloudEvent& event = *made.mutable_event();
  if (kind == DataKind::kBinary) event.set_binary_data(std::string(event.text_data()));
  Result<NewEvent> canonical = make_new_event(made.stream(), event);
  TG_CHECK(canonical.has_value(), canonical.error().message);
  return *std::move(canonical);
}

RecordView sample_record(const NewEvent& event, Sequence sequence) {
  RecordView record;
  record.sequence = sequence;
  record.revision = sequence;
  record.append_time_us = kTimeUs;
  record.stream = event.stream;
  record.type = scan_event(event.event).type;
  record.event = event.event;
  return record;
}

SegmentRef sample_segment(std::size_t events, WireForm form) {
  auto segment = std::make_shared<Segment>(std::size_t{1} << 20, events);
  const NewEvent event = sample_event(DataKind::kText, 128);
  for (Sequence sequence = 1; sequence <= events; ++sequence) {
    TG_CHECK(segment->append(sample_record(event, sequence)), sequence);
  }
  segment->publish(events);
  for (std::size_t i = 0; i < events; ++i) encoded(*segment, i, form);
  return segment;
}

std::string_view encoded(const Segment& segment, std::size_t index, WireForm form) {
  return segment.encoded(index, form, [form](const RecordView& record, std::string& out) {
    encode_event(form, record, out);
  });
}

OutgoingMessage sample_message(const SegmentRef& segment, WireForm form, std::size_t step) {
  EventsMessage message(form, "orders");
  for (std::size_t i = 0; i < kMessageEvents; ++i) {
    message.add(encoded(*segment, i * step, form), segment);
  }
  return std::move(message).finish("abcdefghijklmnop.60.0123abcd");
}

}  // namespace tidegate::micro
