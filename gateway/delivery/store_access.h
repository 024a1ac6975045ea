#pragma once

#include <functional>
#include <memory>
#include <string>

#include "eventstore/event_store.h"
#include "gateway/delivery/log_access.h"
#include "gateway/delivery/pressure.h"

namespace tidegate {

// LogAccess over the real store, one per I/O loop.
// Thread: I/O loop only; `post` is called from the store's threads.
class StoreAccess final : public LogAccess {
 public:
  // `post` runs a function on the loop; it may drop it when the loop has ended. The references must
  // outlive this object.
  StoreAccess(EventStore& store, const PressureGauge& pressure,
              std::function<void(std::function<void()>)> post);

  LogId log_id() const override;
  Sequence head() const override;
  Sequence floor() const override;
  Sequence tail_first() const override;
  SegmentRef tail_segment(Sequence sequence) const override;
  void later(std::function<void()> run) override;
  void read(const Filter& filter, Sequence after, std::size_t look_ups,
            std::function<void(Result<ReadChunk>)> done) override;
  void open(OpenSubscription request,
            std::function<void(Result<OpenedSubscription>)> done) override;
  void acknowledge(CursorAck ack, std::function<void(Result<Position>)> done) override;
  void close_cursor(const std::string& owner, const std::string& cursor,
                    std::uint64_t generation) override;
  void publish(AppendRequest request, std::function<void(Result<AppendResult>)> done) override;

 private:
  EventStore& store_;
  const PressureGauge& pressure_;
  std::function<void(std::function<void()>)> post_;
};

}  // namespace tidegate
