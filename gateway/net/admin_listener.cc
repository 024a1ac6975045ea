#include "gateway/net/admin_listener.h"

#include <pthread.h>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "eventstore/base/check.h"
#include "eventstore/base/text.h"
#include "gateway/net/acceptor.h"
#include "gateway/net/http_connection.h"
#include "gateway/net/upgrade.h"

namespace tidegate {
namespace {

constexpr std::size_t kConnectionsMax = 64;

void append_list(std::string& out, std::string_view name, const std::vector<std::string>& texts) {
  out += ",\"";
  out += name;
  out += "\":[";
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, texts[i]);
  }
  out += ']';
}

std::string ready_page(const Readiness& readiness) {
  const bool is_ready = readiness.reasons.empty();
  std::string body = is_ready ? R"({"status":"ready")" : R"({"status":"not ready")";
  append_list(body, "reasons", readiness.reasons);
  append_list(body, "notes", readiness.notes);
  body += "}\n";
  return http_answer(is_ready ? 200 : 503, "application/json", body);
}

std::string live_page(bool is_alive) {
  return http_answer(
      is_alive ? 200 : 503, "application/json",
      is_alive ? "{\"status\":\"alive\"}\n" : "{\"status\":\"an I/O loop does not come round\"}\n");
}

}  // namespace

struct AdminListener::Impl {
  void accepted(int fd, const IpAddress& peer);
  std::string page(const HttpRequest& request) const;
  Status admit(const HttpRequest& request) const;
  void run();

  ListenAddress address;
  bool is_local_only = true;
  const Authority* authority = nullptr;
  const ServerIdentity* identity = nullptr;
  AdminPages pages;
  boost::asio::io_context context{1};
  std::shared_ptr<Acceptor> acceptor;
  std::size_t connections = 0;
  std::thread thread;
};

void AdminListener::Impl::accepted(int fd, const IpAddress& peer) {
  if (connections >= kConnectionsMax) {
    ::close(fd);
    return;
  }
  ++connections;
  HttpHandler handler;
  handler.decide = [this](const HttpRequest& request, const IpAddress&) -> HttpDecision {
    return page(request);
  };
  handler.done = [this] { --connections; };
  serve_http(context, {fd, address.is_v6, SocketIo::server(identity), peer}, HttpHeadLimits(),
             std::move(handler));
}

std::string AdminListener::Impl::page(const HttpRequest& request) const {
  if (request.count("Host") != 1)
    return http_answer(HttpRefusal{400, "exactly one Host is needed"});
  // A page of the web may reach this listener as well, by a name that it points here.
  if (is_local_only && !is_loopback_authority(request.value("Host"))) {
    return http_answer(HttpRefusal{403, "the Host must be this machine"});
  }
  const std::string_view path =
      std::string_view(request.target).substr(0, request.target.find('?'));
  if (path != "/livez" && path != "/readyz" && path != "/metrics") {
    return http_answer(HttpRefusal{404, "there are /livez, /readyz and /metrics here"});
  }
  if (request.method != "GET") return http_answer(HttpRefusal{405, "only GET", "Allow: GET"});
  if (path == "/livez") return live_page(pages.is_alive());
  if (path == "/readyz") return ready_page(pages.readiness());
  if (const Status allowed = admit(request); !allowed) {
    const Error& error = allowed.error();
    return http_answer(error.code == Code::kUnauthenticated
                           ? unauthorized(error.message)
                           : HttpRefusal{code_info(error.code).http_status, error.message});
  }
  return http_answer(200, "text/plain; version=0.0.4; charset=utf-8", pages.metrics());
}

Status AdminListener::Impl::admit(const HttpRequest& request) const {
  const auto token = request.count("Authorization") == 1
                         ? bearer_token(request.value("Authorization"))
                         : std::nullopt;
  const auto principal = token ? authority->authenticate(*token) : authority->anonymous();
  if (!principal) return principal.error();
  if ((*principal)->is_admin) return {};
  return Error{Code::kForbidden, "the token does not permit administration"};
}

void AdminListener::Impl::run() {
  pthread_setname_np(pthread_self(), "admin");
  // As in IoLoop: nothing throws here but for want of memory, or by our own mistake.
  try {
    context.run();
  } catch (const std::exception& error) {
    TG_CHECK(false, "an exception reached the admin thread", error.what());
  }
}

AdminListener::AdminListener(ListenAddress address, bool is_local_only, const Authority& authority,
                             const ServerIdentity* identity, AdminPages pages)
    : impl_(std::make_unique<Impl>()) {
  impl_->address = std::move(address);
  impl_->is_local_only = is_local_only;
  impl_->authority = &authority;
  impl_->identity = identity;
  impl_->pages = std::move(pages);
}

AdminListener::~AdminListener() {
  if (!impl_->thread.joinable()) return;
  impl_->context.stop();
  impl_->thread.join();
  impl_->acceptor.reset();
}

Result<std::string> AdminListener::start() {
  auto listener = ListenSocket::open(impl_->address);
  if (!listener) return listener.error();
  std::string bound = listener->address().text();
  impl_->acceptor = make_acceptor(
      impl_->context,
      [impl = impl_.get()](int fd, const IpAddress& peer) { impl->accepted(fd, peer); });
  impl_->acceptor->start(*std::move(listener));
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
  return bound;
}

}  // namespace tidegate
