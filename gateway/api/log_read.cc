#include "gateway/api/log_read.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/api/start_place.h"

namespace tidegate {
namespace {

constexpr int kMessageEventsMax = 256;
constexpr std::size_t kMessageBytesMax = 256 << 10;

// A turn on a read thread, so that a selective filter does not keep others waiting.
constexpr int kChunksPerTurn = 4;

// Bytes of a RecordedEvent beside its event and stream: tags, numbers, time.
constexpr std::size_t kRecordOverheadBytes = 48;

Error no_progress(Sequence place) {
  return {Code::kInternal, fmt::format("reading the log made no progress at sequence {}", place)};
}

}  // namespace

Result<LogRead> LogRead::make(const v1::ReadRequest& request) {
  LogRead read;
  auto filter = to_filter(request.filter());
  if (!filter) return std::move(filter).error();
  read.filter_ = std::move(filter).value();
  if (request.direction() < v1::DIRECTION_UNSPECIFIED ||
      request.direction() > v1::DIRECTION_BACKWARD) {
    return field_error("direction",
                       fmt::format("{} is unknown", static_cast<int>(request.direction())));
  }
  read.is_backward_ = request.direction() == v1::DIRECTION_BACKWARD;
  if (request.has_start()) {
    auto place = to_start_place(request.start(), "start");
    if (!place) return std::move(place).error();
    if (read.is_backward_ && std::holds_alternative<LastN>(*place)) {
      return field_error("start.last", "is for reading forward: use `limit` to read backward");
    }
    read.start_ = *place;
  }
  if (request.has_until_time()) {
    const auto time_us = to_time_us(request.until_time(), "until_time");
    if (!time_us) return time_us.error();
    read.until_time_us_ = *time_us;
  }
  read.until_sequence_ = request.until_sequence();
  read.limit_ = request.limit();
  return read;
}

Result<Sequence> LogRead::resolve(const StartPlace& place) const {
  const auto resolved = store_->reader().resolve(place, filter_);
  if (!resolved) return resolved.error();
  const auto start = require_ok(*resolved, store_->log_id());
  if (!start) return start.error();
  return start->after;
}

Status LogRead::begin(const EventStore& store) {
  store_ = &store;
  const Sequence head = store.tail().head();
  return is_backward_ ? begin_backward(head) : begin_forward(head);
}

Status LogRead::begin_forward(Sequence head) {
  const auto after = resolve(start_.value_or(FromStart{}));
  if (!after) return after.error();
  place_ = *after;
  end_ = until_sequence_ == 0 ? head : std::min(head, until_sequence_);
  if (until_time_us_) {
    const auto last = store_->reader().last_before_time(*until_time_us_ + 1);
    if (!last) return last.error();
    end_ = std::min(end_, *last);
  }
  return {};
}

Status LogRead::begin_backward(Sequence head) {
  Result<Sequence> after = head;
  if (const auto* time = start_ ? std::get_if<FromTime>(&*start_) : nullptr) {
    after = store_->reader().last_before_time(time->time_us + 1);
  } else if (start_) {
    after = resolve(*start_);
  }
  if (!after) return after.error();
  place_ = std::min(*after, head) + 1;
  end_ = std::max(store_->floor(), until_sequence_);
  if (until_time_us_) {
    const auto last = store_->reader().last_before_time(*until_time_us_);
    if (!last) return last.error();
    end_ = std::max(end_, *last + 1);
  }
  return {};
}

bool LogRead::is_at_end() const {
  if (limit_ != 0 && returned_ == limit_) return true;
  return is_backward_ ? place_ <= end_ : place_ >= end_;
}

Result<LogRead::Step> LogRead::step(v1::ReadResponse& out) {
  for (int turn = 0; turn < kChunksPerTurn && !is_at_end(); ++turn) {
    if (!chunk_) {
      const auto loaded = is_backward_ ? load_backward() : load_forward();
      if (!loaded) return loaded.error();
    }
    const bool is_full = is_backward_ ? take_backward(out) : take_forward(out);
    if (is_full && !is_at_end()) {
      if (const Status position = set_position(out); !position) return position.error();
      out_bytes_ = 0;
      return Step::kMessage;
    }
  }
  if (!is_at_end()) return Step::kMore;
  if (const Status position = set_position(out); !position) return position.error();
  return Step::kEnd;
}

Result<bool> LogRead::load_forward() {
  auto chunk = store_->reader().read(filter_, place_);
  if (!chunk) return std::move(chunk).error();
  if (chunk->examined <= place_) return no_progress(place_);
  take_chunk(*std::move(chunk));
  return true;
}

Result<bool> LogRead::load_backward() {
  auto chunk = store_->reader().read_backward(filter_, place_);
  if (!chunk) return std::move(chunk).error();
  if (chunk->examined >= place_) return no_progress(place_);
  take_chunk(*std::move(chunk));
  return true;
}

void LogRead::take_chunk(ReadChunk chunk) {
  chunk_ = std::move(chunk);
  const SegmentRef& segment = chunk_->segment;
  if (segment && segment->first() < store_->tail().first()) bytes_read_ += segment->bytes();
}

bool LogRead::take_forward(v1::ReadResponse& out) {
  const Sequence last = std::min(chunk_->examined, end_);
  if (chunk_->segment) {
    const Segment& segment = *chunk_->segment;
    const std::size_t count = segment.count();
    for (std::size_t i = segment.index_after(place_); i < count; ++i) {
      const RecordView& record = segment.record(i);
      if (record.sequence > last) break;
      if (!filter_.matches(record.stream, record.type)) continue;
      if (!add(record, out)) return true;
      place_ = record.sequence;
      chain_ = record.chain;
      if (returned_ == limit_) return true;
    }
  }
  place_ = last;
  chain_.reset();
  if (last == chunk_->examined) chain_ = chunk_->chain;
  chunk_.reset();
  return false;
}

bool LogRead::take_backward(v1::ReadResponse& out) {
  const Sequence first = std::max(chunk_->examined, end_);
  if (chunk_->segment) {
    const Segment& segment = *chunk_->segment;
    for (std::size_t i = segment.index_after(place_ - 1); i > 0; --i) {
      const RecordView& record = segment.record(i - 1);
      if (record.sequence < first) break;
      if (!filter_.matches(record.stream, record.type)) continue;
      if (!add(record, out)) return true;
      place_ = record.sequence;
      if (returned_ == limit_) return true;
    }
  }
  place_ = first;
  chunk_.reset();
  return false;
}

bool LogRead::add(const RecordView& record, v1::ReadResponse& out) {
  const std::size_t bytes = record.event.size() + record.stream.size() + kRecordOverheadBytes;
  const bool is_full =
      out.events_size() >= kMessageEventsMax || out_bytes_ + bytes > kMessageBytesMax;
  // An event larger than a message travels alone.
  if (is_full && out.events_size() > 0) return false;
  out_bytes_ += bytes;
  ++returned_;
  v1::RecordedEvent* event = out.add_events();
  event->set_sequence(record.sequence);
  event->set_stream(std::string(record.stream));
  event->set_revision(record.revision);
  set_time(*event->mutable_time(), record.append_time_us);
  const bool parsed = event->mutable_event()->ParseFromArray(record.event.data(),
                                                             static_cast<int>(record.event.size()));
  // The bytes are our own canonical ones, under the record's checksum.
  TG_CHECK(parsed, record.sequence);
  return true;
}

Status LogRead::set_position(v1::ReadResponse& out) const {
  if (!is_backward_ && chain_) {
    out.set_position(Position::at(store_->log_id(), place_, *chain_).text());
    return {};
  }
  const auto position = store_->reader().position_at(is_backward_ ? place_ - 1 : place_);
  if (!position) return position.error();
  out.set_position(position->text());
  return {};
}

}  // namespace tidegate
