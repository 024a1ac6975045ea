#include "gateway/net/net_server.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <unistd.h>
#include <utility>
#include <vector>

#include "gateway/net/acceptor.h"
#include "gateway/net/http_connection.h"
#include "gateway/net/io_loop.h"
#include "gateway/net/remote_connection.h"
#include "gateway/net/upgrade.h"
#include "gateway/net/websocket.h"

namespace tidegate {
namespace {

constexpr std::string_view kRetryAfter = "Retry-After: 5";

}  // namespace

struct NetServer::Impl {
  void accepted(int fd);
  void serve(IoLoop& loop, int fd);
  HttpDecision decide(const HttpRequest& request, std::optional<Upgrade>& upgrade);
  IoLoop& next_loop() {
    return *loops[next.fetch_add(1, std::memory_order_relaxed) % loops.size()];
  }

  NetOptions options;
  NetProbe& net_probe;
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> pending{0};  // connections whose request is not finished
  std::atomic<bool> is_draining{false};
  std::shared_ptr<Acceptor> acceptor;
  std::vector<std::unique_ptr<IoLoop>> loops;
};

void NetServer::Impl::accepted(int fd) {
  // Nobody waits for an answer that costs a file descriptor more often than that.
  const std::size_t pending_max = std::min(NetOptions::kPendingMax, options.connections_max);
  if (pending.load(std::memory_order_relaxed) >= pending_max) {
    net_probe.request_refused(503);
    ::close(fd);
    return;
  }
  pending.fetch_add(1, std::memory_order_relaxed);
  IoLoop& loop = next_loop();
  loop.post([this, &loop, fd] { serve(loop, fd); });
}

void NetServer::Impl::serve(IoLoop& loop, int fd) {
  const bool is_v6 = options.http.is_v6;
  // What `decide` found, for `hand_on`.
  const auto upgrade = std::make_shared<std::optional<Upgrade>>();
  HttpHandler handler;
  handler.decide = [this, upgrade](const HttpRequest& request) {
    return decide(request, *upgrade);
  };
  handler.hand_on = [&loop, upgrade, is_v6](int socket_fd) {
    accept_websocket(loop, {socket_fd, is_v6, **std::move(upgrade), Principal{}});
  };
  handler.refused = [this](int status) { net_probe.request_refused(status); };
  handler.done = [this] { pending.fetch_sub(1, std::memory_order_relaxed); };
  serve_http(loop.context(), fd, is_v6, std::move(handler));
}

HttpDecision NetServer::Impl::decide(const HttpRequest& request, std::optional<Upgrade>& upgrade) {
  auto checked = check_upgrade(request);
  if (auto* good = std::get_if<Upgrade>(&checked)) {
    std::size_t open = 0;
    for (const auto& loop : loops) open += loop->connections();
    if (!is_draining.load(std::memory_order_relaxed) && open < options.connections_max) {
      upgrade = std::move(*good);
      return std::nullopt;
    }
    checked =
        HttpRefusal{503, "no more connections are taken at the moment", std::string(kRetryAfter)};
  }
  const HttpRefusal& refusal = std::get<HttpRefusal>(checked);
  net_probe.request_refused(refusal.status);
  return http_answer(refusal);
}

NetServer::NetServer(EventStore& store, const Clock& clock, DeliveryProbe& delivery_probe,
                     NetProbe& net_probe, NetOptions options)
    : impl_(new Impl{
          .options = std::move(options), .net_probe = net_probe, .acceptor = {}, .loops = {}}) {
  for (unsigned number = 0; number < std::max(1U, impl_->options.io_threads); ++number) {
    impl_->loops.push_back(
        std::make_unique<IoLoop>(IoLoopSetup{store, clock, impl_->options.limits, delivery_probe,
                                             net_probe, impl_->options.server, number}));
  }
}

NetServer::~NetServer() {
  drain(0);
  // All threads end before the first loop is destroyed: each may look at the others.
  for (const auto& loop : impl_->loops) loop->stop();
}

Result<std::string> NetServer::start() {
  auto listener = ListenSocket::open(impl_->options.http);
  if (!listener) return listener.error();
  std::string bound = listener->address().text();
  IoLoop& first = *impl_->loops.front();
  impl_->acceptor =
      make_acceptor(first.context(), [impl = impl_.get()](int fd) { impl->accepted(fd); });
  for (const auto& loop : impl_->loops) loop->start();
  first.post([acceptor = impl_->acceptor, socket = std::make_shared<ListenSocket>(*std::move(
                                              listener))] { acceptor->start(std::move(*socket)); });
  return bound;
}

std::unique_ptr<RemoteSession> NetServer::open_remote(std::shared_ptr<RemotePeer> peer,
                                                      Principal principal) {
  return open_remote_session(impl_->next_loop(), std::move(peer), std::move(principal));
}

void NetServer::drain(std::int64_t spread_ms) {
  if (impl_->is_draining.exchange(true)) return;
  if (!impl_->acceptor) return;
  impl_->loops.front()->post(
      [acceptor = std::exchange(impl_->acceptor, nullptr)] { acceptor->stop(); });
  for (const auto& loop : impl_->loops) {
    loop->post([&delivery = loop->delivery(), spread_ms] { delivery.drain(spread_ms); });
  }
}

std::size_t NetServer::connections() const {
  std::size_t sum = 0;
  for (const auto& loop : impl_->loops) sum += loop->connections();
  return sum;
}

std::int64_t NetServer::stalled_ms() const {
  std::int64_t longest = 0;
  for (const auto& loop : impl_->loops) longest = std::max(longest, loop->stalled_ms());
  return longest;
}

}  // namespace tidegate
