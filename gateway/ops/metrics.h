#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "eventstore/event_store.h"
#include "gateway/api/api_probe.h"
#include "gateway/delivery/probe.h"
#include "gateway/net/net_probe.h"
#include "projections/engine.h"

namespace tidegate {

// The numbers of the gateway for Prometheus; the only place that knows their names. Every component
// tells it verbs through its own probe. docs/operations.md explains each metric. Thread: any
// (internally synchronised).
class Metrics final : public StoreProbe,
                      public DeliveryProbe,
                      public NetProbe,
                      public ApiProbe,
                      public ProjectionProbe {
 public:
  explicit Metrics(const std::string& version);
  ~Metrics() override;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // All of them in Prometheus' text format; what the store and the projections know by themselves
  // is asked of them now. No projections: null.
  std::string text(const EventStore& store, const Engine* projections);

  // A certificate is in use until then.
  void certificate_loaded(std::int64_t expires_s);
  // SIGHUP brought keys or a certificate that cannot be used.
  void reload_failed();

  // What delivery has open at the moment, for GetStatus.
  std::uint64_t subscriptions() const;
  std::uint64_t subscribers_behind() const;

  void group_committed(std::size_t events, std::size_t bytes, std::int64_t queued_us,
                       std::int64_t commit_us) override;
  void request_refused(Code code) override;
  void events_deduplicated(std::size_t count) override;
  void chunk_loaded(bool from_cache) override;

  void message_received(std::size_t bytes) override;
  void message_sent(std::size_t bytes, std::size_t events) override;
  void subscription_resumed(ResumeSource source) override;
  void subscriptions_changed(int by) override;
  void behind_changed(int by) override;
  void watches_changed(int by) override;
  void error_sent(Code code) override;

  void connection_opened(std::string_view transport) override;
  void connection_closed(std::string_view transport, std::string_view reason,
                         std::int64_t duration_ms) override;
  void request_refused(int http_status) override;
  void heartbeat_failed(HeartbeatFailure cause) override;
  void loop_lagged(unsigned loop, std::int64_t lag_us) override;

  void call_ended(std::string_view method, std::string_view status) override;

  void committed(std::string_view projection, std::size_t events, std::size_t rows,
                 std::int64_t commit_us) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
