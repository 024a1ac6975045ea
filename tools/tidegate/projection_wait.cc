#include "tools/tidegate/projection_wait.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/progress.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::chrono::milliseconds kLookAgain{100};
constexpr std::chrono::milliseconds kRetryLook{50};
constexpr int kRetryLooks = 20;

void show_arrival(Progress& progress, const v1::Projection& projection,
                  const v1::ProjectionVersion& version) {
  const std::uint64_t begun = version.began_after();
  const std::uint64_t total = projection.head() > begun ? projection.head() - begun : 0;
  const std::uint64_t done = version.sequence() > begun ? version.sequence() - begun : 0;
  const double fraction =
      total == 0 ? -1 : static_cast<double>(std::min(done, total)) / static_cast<double>(total);
  progress.show(fraction, fmt::format("{} version {}: {} of {} events, {}", projection.name(),
                                      version.number(), std::min(done, total), total,
                                      counted(version.rows(), "row")));
}

void say_failure(const std::string& name, const v1::ProjectionVersion& version) {
  std::string text;
  append_for_terminal(text, failure_text(version.failure()));
  say(fmt::format("{} version {} {}", name, version.number(), text));
}

// How waiting ended; `version` is null for kReplaced only.
Result<int> end_of_wait(Arrival arrival, const std::string& name, std::uint32_t number,
                        const v1::ProjectionVersion* version) {
  switch (arrival) {
    case Arrival::kArrived:
      say(fmt::format("{} version {} is live, as of sequence {}", name, number,
                      version->sequence()));
      return kExitOk;
    case Arrival::kFailed:
      say_failure(name, *version);
      return kExitFailure;
    case Arrival::kPaused:
      return Error{
          Code::kCheckFailed,
          fmt::format("'{}' is paused as of sequence {}, so that it does not catch up: tidegate "
                      "projection resume {}",
                      name, version->sequence(), name)};
    case Arrival::kRetired:
      return Error{Code::kCheckFailed,
                   fmt::format("version {} of '{}' has this definition and is retired: tidegate "
                               "projection rollback {}",
                               number, name, name)};
    default:
      return Error{Code::kCheckFailed,
                   fmt::format("version {} of '{}' was replaced by a newer one", number, name)};
  }
}

// Whether each version that had stopped is past the event that stopped it.
bool is_past_failures(const v1::Projection& before, const v1::Projection& now) {
  for (const v1::ProjectionVersion& stopped : before.versions()) {
    if (!stopped.has_failure()) continue;
    const v1::ProjectionVersion* version = version_numbered(now, stopped.number());
    // What was no event's fault shows itself again, or not, within the time that is waited.
    if (version != nullptr &&
        (stopped.failure().sequence() == 0 || version->sequence() < stopped.failure().sequence())) {
      return false;
    }
  }
  return true;
}

}  // namespace

Arrival arrival_of(const v1::Projection& projection, std::uint32_t number, std::uint64_t head) {
  const v1::ProjectionVersion* version = version_numbered(projection, number);
  if (version == nullptr) return Arrival::kReplaced;
  if (version->state() == v1::VERSION_STATE_RETIRED) return Arrival::kRetired;
  if (version->state() == v1::VERSION_STATE_LIVE && version->sequence() >= head)
    return Arrival::kArrived;
  if (version->has_failure()) return Arrival::kFailed;
  return projection.paused() ? Arrival::kPaused : Arrival::kUnderWay;
}

Result<int> wait_for_arrival(Context& context, Client& client, const std::string& name,
                             std::uint32_t number, std::uint64_t head) {
  const Interrupt::Guard guard(context.interrupt, [] {});
  Progress progress;
  while (true) {
    Result<v1::Projection> projection = get_projection(client, name);
    if (context.interrupt.happened()) return kExitInterrupted;
    if (!projection) return projection.error();
    const v1::ProjectionVersion* version = version_numbered(*projection, number);
    const Arrival arrival = arrival_of(*projection, number, head);
    if (arrival != Arrival::kUnderWay) {
      progress.clear();
      return end_of_wait(arrival, name, number, version);
    }
    show_arrival(progress, *projection, *version);
    if (!context.interrupt.sleep(kLookAgain)) return kExitInterrupted;
  }
}

Result<int> wait_for_retry(Context& context, Client& client, const v1::Projection& before) {
  const Interrupt::Guard guard(context.interrupt, [] {});
  for (int look = 0; look < kRetryLooks; ++look) {
    Result<v1::Projection> now = get_projection(client, before.name());
    if (!now) return now.error();
    int exit_code = kExitOk;
    for (const v1::ProjectionVersion& version : now->versions()) {
      if (!version.has_failure()) continue;
      say_failure(now->name(), version);
      exit_code = kExitFailure;
    }
    if (exit_code != kExitOk || is_past_failures(before, *now)) return exit_code;
    // It tries when it is resumed.
    if (now->paused()) return kExitOk;
    if (!context.interrupt.sleep(kRetryLook)) return kExitInterrupted;
  }
  return kExitOk;
}

}  // namespace tidegate
