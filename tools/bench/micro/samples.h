#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "eventstore/append.h"
#include "eventstore/segment.h"
#include "gateway/delivery/transport.h"

namespace tidegate::micro {

// What the micro-benchmarks work on: events of the shape that `tidegate bench` publishes. Thread:
// any (pure functions of this file).

enum class DataKind : std::uint8_t { kText, kBinary };

// As the log stores it. Text is JSON.
NewEvent sample_event(DataKind kind, std::size_t data_bytes);

// The `sequence`-th of a log. Views into `event`.
RecordView sample_record(const NewEvent& event, Sequence sequence);

// Filled and visible, from sequence 1 on, with text of 128 bytes, and all of it encoded in that
// form.
SegmentRef sample_segment(std::size_t events, WireForm form);

// The event's bytes, as a subscription asks for them.
std::string_view encoded(const Segment& segment, std::size_t index, WireForm form);

inline constexpr std::size_t kMessageEvents = 60;  // of a full message

// Put together from 60 events, one in each `step`. With 1 their bytes lie one after the other; with
// more they are pieces of their own. The segment has at least 60 * step events.
OutgoingMessage sample_message(const SegmentRef& segment, WireForm form, std::size_t step);

}  // namespace tidegate::micro
