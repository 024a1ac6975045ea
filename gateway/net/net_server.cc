#include "gateway/net/net_server.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <unistd.h>
#include <utility>
#include <vector>

#include "eventstore/base/log.h"
#include "gateway/net/acceptor.h"
#include "gateway/net/http_connection.h"
#include "gateway/net/io_loop.h"
#include "gateway/net/remote_connection.h"
#include "gateway/net/websocket.h"

namespace tidegate {

// Connections of one loop without a finished request, in the order in which they came.
// Thread: the loop's.
using PendingConnections = std::list<std::weak_ptr<ServedHttp>>;

struct NetServer::Impl {
  void accepted(int fd, const IpAddress& peer);
  void serve(IoLoop& loop, ServedSocket socket, std::shared_ptr<const void> place);
  void make_room(PendingConnections& all);
  HttpDecision decide(const HttpRequest& request, const IpAddress& peer,
                      std::optional<Admitted>& admitted);
  void note_refused(const HttpRefusal& refusal, const IpAddress& peer);
  std::size_t connections() const;
  IoLoop& next_loop() {
    return *loops[next.fetch_add(1, std::memory_order_relaxed) % loops.size()];
  }

  NetOptions options;
  NetProbe& net_probe;
  Admission admission;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> is_draining{false};
  std::shared_ptr<Acceptor> acceptor;
  std::vector<PendingConnections> pending;  // by the loop's number
  std::vector<std::unique_ptr<IoLoop>> loops;
};

void NetServer::Impl::accepted(int fd, const IpAddress& peer) {
  auto place = admission.accept(peer);
  if (place == nullptr) {
    net_probe.request_refused(503);
    ::close(fd);
    return;
  }
  IoLoop& loop = next_loop();
  loop.post([this, &loop, fd, peer, place = std::move(place)] {
    serve(loop,
          {fd, options.http.is_v6, SocketIo::server(options.identity), peer,
           admission.needs_proxy_header(peer)},
          place);
  });
}

// A flood of connections that say nothing, or stay after their answer, must not keep out those that
// mean it: the oldest of these goes. A client says something as soon as it is connected.
void NetServer::Impl::make_room(PendingConnections& all) {
  if (!admission.is_crowded()) return;
  for (const auto& connection : all) {
    const auto served = connection.lock();
    if (!served || !served->cut_idle()) continue;
    net_probe.request_refused(503);
    return;
  }
}

void NetServer::Impl::serve(IoLoop& loop, ServedSocket socket, std::shared_ptr<const void> place) {
  PendingConnections& all = pending[loop.number()];
  make_room(all);
  // What `decide` found, for `hand_on`.
  const auto admitted = std::make_shared<std::optional<Admitted>>();
  HttpHandler handler;
  handler.decide = [this, admitted](const HttpRequest& request, const IpAddress& peer) {
    return decide(request, peer, *admitted);
  };
  handler.hand_on = [&loop, admitted, is_v6 = socket.is_v6](int fd, SocketIo io) {
    accept_websocket(loop, {fd, std::move(io), is_v6, *std::move(*admitted)});
  };
  handler.refused = [this](const HttpRefusal& refusal, const IpAddress& peer) {
    note_refused(refusal, peer);
  };
  const auto at = all.emplace(all.end());
  handler.done = [&all, at, place = std::move(place)]() mutable {
    all.erase(at);
    place.reset();
  };
  *at = serve_http(loop.context(), std::move(socket), options.head, std::move(handler));
}

HttpDecision NetServer::Impl::decide(const HttpRequest& request, const IpAddress& peer,
                                     std::optional<Admitted>& admitted) {
  auto checked = admission.admit(request, peer);
  if (auto* good = std::get_if<Admitted>(&checked)) {
    admitted = std::move(*good);
    return std::nullopt;
  }
  const HttpRefusal& refusal = std::get<HttpRefusal>(checked);
  note_refused(refusal, peer);
  return http_answer(refusal);
}

void NetServer::Impl::note_refused(const HttpRefusal& refusal, const IpAddress& peer) {
  net_probe.request_refused(refusal.status);
  if (!log_enabled(LogLevel::kDebug)) return;
  log(LogLevel::kDebug, "a request was refused",
      {{"status", refusal.status}, {"reason", refusal.detail}, {"peer", peer.text()}});
}

std::size_t NetServer::Impl::connections() const {
  std::size_t open = 0;
  for (const auto& loop : loops) open += loop->connections();
  return open;
}

NetServer::NetServer(EventStore& store, const Clock& clock, DeliveryProbe& delivery_probe,
                     NetProbe& net_probe, const Authority& authority, Engine* engine,
                     Presence* presence, const PressureGauge& pressure, const NetOptions& options)
    : impl_(new Impl{.options = options,
                     .net_probe = net_probe,
                     .admission = {options.admission, authority, pressure, clock,
                                   [this] { return impl_->connections(); }},
                     .acceptor = {},
                     .pending = {},
                     .loops = {}}) {
  impl_->pending.resize(std::max(1U, impl_->options.io_threads));
  for (unsigned number = 0; number < std::max(1U, impl_->options.io_threads); ++number) {
    impl_->loops.push_back(std::make_unique<IoLoop>(
        IoLoopSetup{store, clock, impl_->options.limits, delivery_probe, net_probe, authority,
                    engine, presence, pressure, impl_->options.server, number}));
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
  impl_->acceptor = make_acceptor(
      first.context(),
      [impl = impl_.get()](int fd, const IpAddress& peer) { impl->accepted(fd, peer); });
  for (const auto& loop : impl_->loops) loop->start();
  first.post([acceptor = impl_->acceptor, socket = std::make_shared<ListenSocket>(*std::move(
                                              listener))] { acceptor->start(std::move(*socket)); });
  return bound;
}

Result<std::unique_ptr<RemoteSession>> NetServer::open_remote(std::shared_ptr<RemotePeer> peer,
                                                              PrincipalRef principal) {
  auto places = impl_->admission.admit_remote(*principal);
  if (!places) return std::move(places).error();
  return open_remote_session(impl_->next_loop(), std::move(peer), std::move(principal),
                             *std::move(places));
}

void NetServer::drain(std::int64_t spread_ms) {
  if (impl_->is_draining.exchange(true)) return;
  impl_->admission.close();
  if (!impl_->acceptor) return;
  impl_->loops.front()->post(
      [acceptor = std::exchange(impl_->acceptor, nullptr)] { acceptor->stop(); });
  for (const auto& loop : impl_->loops) {
    loop->post([&delivery = loop->delivery(), spread_ms] { delivery.drain(spread_ms); });
  }
}

std::size_t NetServer::connections() const {
  return impl_->connections();
}

std::int64_t NetServer::stalled_ms() const {
  std::int64_t longest = 0;
  for (const auto& loop : impl_->loops) longest = std::max(longest, loop->stalled_ms());
  return longest;
}

}  // namespace tidegate
