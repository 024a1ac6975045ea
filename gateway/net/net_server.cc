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

// What a request may have, and for whom.
struct Admitted {
  Upgrade upgrade;
  PrincipalRef principal;
};

}  // namespace

struct NetServer::Impl {
  void accepted(int fd);
  void serve(IoLoop& loop, int fd);
  HttpDecision decide(const HttpRequest& request, std::optional<Admitted>& admitted);
  std::variant<Admitted, HttpRefusal> admit(const HttpRequest& request);
  std::size_t connections() const;
  IoLoop& next_loop() {
    return *loops[next.fetch_add(1, std::memory_order_relaxed) % loops.size()];
  }

  NetOptions options;
  NetProbe& net_probe;
  const Authority& authority;
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
  const auto admitted = std::make_shared<std::optional<Admitted>>();
  HttpHandler handler;
  handler.decide = [this, admitted](const HttpRequest& request) {
    return decide(request, *admitted);
  };
  handler.hand_on = [&loop, admitted, is_v6](int socket_fd) {
    auto& [upgrade, principal] = **admitted;
    accept_websocket(loop, {socket_fd, is_v6, std::move(upgrade), std::move(principal)});
  };
  handler.refused = [this](int status) { net_probe.request_refused(status); };
  handler.done = [this] { pending.fetch_sub(1, std::memory_order_relaxed); };
  serve_http(loop.context(), fd, is_v6, std::move(handler));
}

HttpDecision NetServer::Impl::decide(const HttpRequest& request,
                                     std::optional<Admitted>& admitted) {
  auto checked = admit(request);
  if (auto* good = std::get_if<Admitted>(&checked)) {
    admitted = std::move(*good);
    return std::nullopt;
  }
  const HttpRefusal& refusal = std::get<HttpRefusal>(checked);
  net_probe.request_refused(refusal.status);
  return http_answer(refusal);
}

std::variant<Admitted, HttpRefusal> NetServer::Impl::admit(const HttpRequest& request) {
  auto checked = check_upgrade(request, options.upgrade);
  if (auto* refusal = std::get_if<HttpRefusal>(&checked)) return std::move(*refusal);
  auto& upgrade = std::get<Upgrade>(checked);
  // Before the signature is checked, which costs more than anything else here.
  if (is_draining.load(std::memory_order_relaxed) || connections() >= options.connections_max) {
    return HttpRefusal{503, "no more connections are taken at the moment",
                       std::string(kRetryAfter)};
  }
  const std::string token = std::exchange(upgrade.token, {});
  auto principal = token.empty() ? authority.anonymous() : authority.authenticate(token);
  if (principal) return Admitted{std::move(upgrade), *std::move(principal)};
  const Error& error = principal.error();
  if (error.code == Code::kUnauthenticated) return unauthorized(error.message);
  return HttpRefusal{code_info(error.code).http_status, error.message,
                     code_info(error.code).retryable ? std::string(kRetryAfter) : ""};
}

std::size_t NetServer::Impl::connections() const {
  std::size_t open = 0;
  for (const auto& loop : loops) open += loop->connections();
  return open;
}

NetServer::NetServer(EventStore& store, const Clock& clock, DeliveryProbe& delivery_probe,
                     NetProbe& net_probe, const Authority& authority, NetOptions options)
    : impl_(new Impl{.options = std::move(options),
                     .net_probe = net_probe,
                     .authority = authority,
                     .acceptor = {},
                     .loops = {}}) {
  for (unsigned number = 0; number < std::max(1U, impl_->options.io_threads); ++number) {
    impl_->loops.push_back(
        std::make_unique<IoLoop>(IoLoopSetup{store, clock, impl_->options.limits, delivery_probe,
                                             net_probe, authority, impl_->options.server, number}));
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
                                                      PrincipalRef principal) {
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
  return impl_->connections();
}

std::int64_t NetServer::stalled_ms() const {
  std::int64_t longest = 0;
  for (const auto& loop : impl_->loops) longest = std::max(longest, loop->stalled_ms());
  return longest;
}

}  // namespace tidegate
