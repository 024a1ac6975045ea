#include "gateway/net/io_loop.h"

#include <chrono>
#include <pthread.h>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "eventstore/base/guarded.h"
#include "eventstore/base/log.h"
#include "gateway/delivery/engine_access.h"
#include "gateway/delivery/store_access.h"
#include "gateway/net/connection.h"

namespace tidegate {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds kTick{TimerWheel<Connection>::kStepMs};
constexpr std::size_t kReceiveBytes = 64 << 10;

// The way onto the loop for other threads. It outlives the loop, because the store's threads may
// hold it longer; then tasks are dropped.
class Mailbox {
 public:
  explicit Mailbox(asio::io_context& context) : context_(&context) {}

  void post(std::function<void()> task) {
    context_.with([&task](asio::io_context* context) {
      if (context != nullptr) asio::post(*context, std::move(task));
    });
  }
  void close() {
    context_.with([](asio::io_context*& context) { context = nullptr; });
  }

 private:
  Guarded<asio::io_context*> context_;
};

}  // namespace

struct IoLoop::Impl {
  explicit Impl(IoLoopSetup loop_setup)
      : setup(std::move(loop_setup)),
        context(1),
        work(context.get_executor()),
        mailbox(std::make_shared<Mailbox>(context)),
        access(setup.store, setup.pressure,
               [box = mailbox](std::function<void()> task) { box->post(std::move(task)); }),
        projections(setup.engine, setup.store, setup.pressure,
                    [box = mailbox](std::function<void()> task) { box->post(std::move(task)); }),
        delivery(access, projections, setup.clock, setup.limits, setup.delivery_probe,
                 setup.authority, setup.presence, setup.server),
        timer(context),
        timers(setup.clock.steady_ms()),
        ticked_ms(setup.clock.steady_ms()) {}

  void run();
  void watch_head();
  void dispatch();
  void schedule_tick();
  void tick();
  void abandon_all();

  const IoLoopSetup setup;
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::shared_ptr<Mailbox> mailbox;
  StoreAccess access;
  EngineAccess projections;
  DeliveryLoop delivery;
  asio::steady_timer timer;
  TimerWheel<Connection> timers;
  std::atomic<std::int64_t> ticked_ms;
  std::uint64_t connections_named = 0;
  std::vector<char> receive_buffer = std::vector<char>(kReceiveBytes);
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections;
  std::atomic<std::size_t> connection_count{0};
  // Set while a dispatch is posted and has not begun: what keeps the appender from posting one per
  // group.
  std::shared_ptr<std::atomic<bool>> is_woken = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<void> head_watch;
  std::thread thread;
};

void IoLoop::Impl::run() {
  pthread_setname_np(pthread_self(), fmt::format("io-{}", setup.number).c_str());
  // Asio reports by error codes here; what still throws is a want of memory or our bug,
  // and either must not be swallowed by going on with half a state.
  try {
    context.run();
  } catch (const std::exception& error) {
    TG_CHECK(false, "an exception reached the I/O loop", error.what());
  }
}

void IoLoop::Impl::watch_head() {
  head_watch = setup.store.on_head_moved([this, woken = is_woken, box = mailbox] {
    // `this` is touched on the loop only, where posted tasks do not outlive it.
    if (!woken->exchange(true)) box->post([this] { dispatch(); });
  });
  // What was appended before the watch began.
  if (!is_woken->exchange(true)) mailbox->post([this] { dispatch(); });
}

void IoLoop::Impl::dispatch() {
  // Before the head is read: a move that comes later wakes again.
  is_woken->store(false);
  const bool is_more = delivery.dispatch();
  if (is_more && !is_woken->exchange(true)) {
    asio::post(context, [this] { dispatch(); });
  }
}

void IoLoop::Impl::schedule_tick() {
  timer.async_wait([this](error_code error) {
    if (!error) tick();
  });
}

void IoLoop::Impl::tick() {
  const auto late = std::chrono::steady_clock::now() - timer.expiry();
  setup.net_probe.loop_lagged(setup.number,
                              std::chrono::duration_cast<std::chrono::microseconds>(late).count());
  const std::int64_t now_ms = setup.clock.steady_ms();
  ticked_ms.store(now_ms, std::memory_order_relaxed);
  delivery.tick();
  // A connection that finds its end in here leaves the registry by a posted task.
  timers.advance(now_ms, [&](Connection& connection) {
    const std::int64_t next_ms = connection.tick(now_ms);
    timers.set_no_later(connection, next_ms);
  });
  timer.expires_after(kTick);
  schedule_tick();
}

void IoLoop::Impl::abandon_all() {
  head_watch.reset();
  timer.cancel();
  for (const auto& [key, connection] : connections) connection->abandon();
  connections.clear();
  connection_count.store(0, std::memory_order_relaxed);
  context.stop();
}

IoLoop::IoLoop(IoLoopSetup setup) : impl_(std::make_unique<Impl>(std::move(setup))) {}

IoLoop::~IoLoop() {
  stop();
  impl_->mailbox->close();
}

void IoLoop::stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->context, [impl = impl_.get()] { impl->abandon_all(); });
  impl_->thread.join();
}

void IoLoop::start() {
  TG_CHECK(!impl_->thread.joinable());
  impl_->watch_head();
  impl_->timer.expires_after(kTick);
  impl_->schedule_tick();
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

void IoLoop::post(std::function<void()> task) {
  impl_->mailbox->post(std::move(task));
}

std::int64_t IoLoop::stalled_ms() const {
  return impl_->setup.clock.steady_ms() - impl_->ticked_ms.load(std::memory_order_relaxed);
}

unsigned IoLoop::number() const {
  return impl_->setup.number;
}
asio::io_context& IoLoop::context() {
  return impl_->context;
}
DeliveryLoop& IoLoop::delivery() {
  return impl_->delivery;
}
const Clock& IoLoop::clock() const {
  return impl_->setup.clock;
}
const SessionLimits& IoLoop::limits() const {
  return impl_->setup.limits;
}
NetProbe& IoLoop::probe() {
  return impl_->setup.net_probe;
}

std::string IoLoop::next_connection_name() {
  return fmt::format("{}-{}", impl_->setup.number, ++impl_->connections_named);
}

std::span<char> IoLoop::receive_buffer() {
  return impl_->receive_buffer;
}

void IoLoop::adopt(std::shared_ptr<Connection> connection) {
  Connection* key = connection.get();
  impl_->timers.set(*key, impl_->setup.clock.steady_ms());
  impl_->connections.emplace(key, std::move(connection));
  impl_->connection_count.store(impl_->connections.size(), std::memory_order_relaxed);
}

void IoLoop::tick_no_later(Connection& connection, std::int64_t due_ms) {
  impl_->timers.set_no_later(connection, due_ms);
}

std::int64_t IoLoop::tick_ms() const {
  return impl_->ticked_ms.load(std::memory_order_relaxed);
}

void IoLoop::forget(Connection& connection) {
  impl_->timers.remove(connection);
  impl_->connections.erase(&connection);
  impl_->connection_count.store(impl_->connections.size(), std::memory_order_relaxed);
}

std::size_t IoLoop::connections() const {
  return impl_->connection_count.load(std::memory_order_relaxed);
}

}  // namespace tidegate
