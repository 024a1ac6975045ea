#include "tools/tidegate/event_source.h"

#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::uint64_t kPageEvents = 2000;
constexpr std::size_t kPageBytes = 4 << 20;
constexpr unsigned kAttemptsMax = 8;

}  // namespace

Result<EventSource::Page> EventSource::next() {
  while (true) {
    Result<Page> page = read_page();
    if (page) {
      was_reached_ = true;
      backoff_.succeeded();
      if (!page->position.empty()) request_.mutable_start()->set_after(page->position);
      return page;
    }
    const bool again =
        was_reached_ && is_retryable(page.error()) && backoff_.attempts() < kAttemptsMax;
    if (!again || interrupt_.happened()) return page;
    if (backoff_.attempts() == 0) say(page.error().message + "; trying again");
    if (!interrupt_.sleep(backoff_.next(page.error().retry_after_ms))) return page;
  }
}

Result<EventSource::Page> EventSource::read_page() {
  request_.set_limit(kPageEvents);
  grpc::ClientContext call;
  const Interrupt::Guard guard(interrupt_, [&call] { call.TryCancel(); });
  const auto stream = client_.services().events->Read(&call, request_);
  Page page;
  std::size_t bytes = 0;
  for (v1::ReadResponse response; bytes < kPageBytes && stream->Read(&response);) {
    bytes += response.ByteSizeLong();
    page.position = response.position();
    for (v1::RecordedEvent& event : *response.mutable_events())
      page.events.push_back(std::move(event));
  }
  if (bytes >= kPageBytes) {
    // The rest comes with the next call.
    call.TryCancel();
    [[maybe_unused]] const grpc::Status cancelled = stream->Finish();
    return page;
  }
  if (const grpc::Status status = stream->Finish(); !status.ok()) return client_.error_from(status);
  page.last = page.events.size() < kPageEvents;
  return page;
}

}  // namespace tidegate
