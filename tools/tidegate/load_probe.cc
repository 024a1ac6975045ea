#include "tools/tidegate/load_probe.h"

#include <poll.h>

namespace tidegate {
namespace {

constexpr int kPatienceMs = 10'000;

}  // namespace

// Every event of the probe's subscriptions is looked at by its owner, so that the connection's own
// check has nothing to expect.
LoadProbe::LoadProbe(const LoadAddress& address, LoadForm form, std::size_t data_bytes,
                     LoadClock clock)
    : clock_(clock), socket_(address, form, data_bytes, DeliveryCheck(1, 1)) {}

Result<std::unique_ptr<LoadProbe>> LoadProbe::connect(const LoadAddress& address, LoadForm form,
                                                      std::size_t data_bytes, LoadClock clock) {
  std::unique_ptr<LoadProbe> probe(new LoadProbe(address, form, data_bytes, clock));
  if (Status opened = probe->socket_.open(); !opened) return opened.error();
  const Status welcomed = probe->receive_until([](LoadConnection::Found& found) -> Result<bool> {
    for (const ServerNotice& notice : found.notices) {
      if (notice.kind == ServerNotice::Kind::kWelcome) return true;
    }
    return false;
  });
  if (!welcomed) return welcomed.error();
  return probe;
}

Status LoadProbe::subscribe(const v1::SubscribeOp& subscription, const Take& take) {
  sent_us_ = clock_.now_us();
  if (Status sent = socket_.subscribe(subscription); !sent) return sent;
  return receive_until(take);
}

Status LoadProbe::receive_until(const Take& take) {
  LoadConnection::Found found;
  while (true) {
    pollfd socket{socket_.fd(), POLLIN, 0};
    if (poll(&socket, 1, kPatienceMs) == 0) {
      return Error{Code::kUnavailable, "the gateway does not answer a subscriber"};
    }
    const Result<std::size_t> got = socket_.receive(buffer_, found);
    if (!got) return got.error();
    received_us_ = clock_.now_us();
    for (const ServerNotice& notice : found.notices) {
      if (notice.kind == ServerNotice::Kind::kRefusal)
        return Error{Code::kUnavailable, notice.text};
    }
    const Result<bool> is_enough = take(found);
    if (!is_enough) return is_enough.error();
    if (*is_enough) return {};
    found.events.clear();
    found.notices.clear();
  }
}

}  // namespace tidegate
