#include "tools/tidegate/bench_flow.h"

#include <algorithm>
#include <optional>

#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"

namespace tidegate {

Status BenchFlow::prepare(const Options& options) {
  options_ = options;
  const Result<Revision> last = last_revision(client_, options.stream);
  if (!last) return last.error();
  LoadOptions load = load_options(client_, subscribers_, options.subscribers, options.stream,
                                  *last + 1, *last + 1 + options.events);
  load.clock = clock_;
  load.stays_awake = options.rate > 0;
  auto made = LoadClient::make(load, [this] { permit_more(); });
  if (!made) return made.error();
  load_ = *std::move(made);
  make_publisher(clock_);
  return load_->connect_and_subscribe();
}

void BenchFlow::make_publisher(const LoadClock& clock) {
  BenchPublisher::Options publisher;
  publisher.batch = options_.batch;
  publisher.events = options_.events;
  publisher.rate = options_.rate;
  // Small windows go out in four parts, so that delivery and publishing overlap.
  if (options_.rate == 0) {
    publisher.batch = std::clamp<std::uint64_t>(options_.window / 4, 1, options_.batch);
    publisher.least = publisher.batch;
  }
  publisher_ = std::make_unique<BenchPublisher>(
      client_, publisher, BenchEvents(subscribers_.data_bytes(), {options_.stream}, 0), clock);
}

// Also on a load thread: the window has moved.
void BenchFlow::permit_more() {
  if (options_.rate == 0) publisher_->permit(load_->received_by_all() + options_.window);
}

Status BenchFlow::run() {
  const Interrupt::Guard guard(context_.interrupt, [this] { publisher_->cancel(); });
  load_->begin();
  publisher_->start();
  permit_more();
  std::optional<BenchPacer> pacer;
  if (options_.rate > 0) pacer.emplace(*publisher_, clock_);
  const Status delivered = await_stage(context_, *load_, LoadStage::kComplete, publisher_.get(),
                                       pacer ? &*pacer : nullptr);
  if (!delivered) return delivered;
  // The last answers may come after the last deliveries.
  return end_publishing(*publisher_);
}

}  // namespace tidegate
