#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "eventstore/event_store.h"
#include "gateway/api/grpc_server.h"

// The test of fdatasync_test: a gateway without WebSocket whose store answers before it syncs. What
// it says on stdout is what tidegated says. Usage: unsafe_gateway --data DIR

namespace {

// Nobody opens a session here.
class NoSessions final : public tidegate::SessionHost {
 public:
  tidegate::Result<std::unique_ptr<tidegate::RemoteSession>> open_remote(
      std::shared_ptr<tidegate::RemotePeer>, tidegate::PrincipalRef) override {
    return tidegate::Error{tidegate::Code::kUnsupported, "no sessions here"};
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 3 || std::string_view(arguments[1]) != "--data") return 64;
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  tidegate::StoreOptions options;
  options.dir = arguments[2];
  options.disk_soft_bytes = 8 << 20;
  options.disk_hard_bytes = 4 << 20;
  options.ballast_bytes = 0;
  options.unsafe_answer_before_sync = true;
  auto opened = tidegate::EventStore::open(std::move(options));
  if (const auto* error = std::get_if<tidegate::EventStore::OpenError>(&opened)) {
    std::fprintf(stderr, "%s\n", error->error.message.c_str());
    return error->exit_code;
  }
  auto& store = std::get<std::unique_ptr<tidegate::EventStore>>(opened);
  NoSessions sessions;
  tidegate::NoAuthority authority;
  tidegate::GrpcServer server({.listen = "127.0.0.1:0", .version = "unsafe"}, *store, sessions,
                              nullptr, authority, [] { return tidegate::DeliveryCounts{}; });
  const auto address = server.start();
  if (!address) return 71;
  std::printf("listening grpc %s\n", address->c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  server.shutdown(std::chrono::milliseconds(0));
  return 0;
}
