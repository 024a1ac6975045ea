#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "gateway/delivery/authority.h"
#include "gateway/net/listen_socket.h"
#include "gateway/tls/server_identity.h"

namespace tidegate {

// Whether the gateway should get traffic, and why not.
struct Readiness {
  std::vector<std::string> reasons;  // empty: ready
  std::vector<std::string> notes;    // what an operator should know all the same
};

// Where the pages come from. Called on the admin thread; must not block for long.
struct AdminPages {
  std::function<bool()> is_alive;
  std::function<Readiness()> readiness;
  std::function<std::string()> metrics;  // in Prometheus' text format
};

// Plain HTTP for operators, on a thread of its own so that it answers when the I/O loops do not:
// GET /livez, /readyz (503 with reasons when not) and /metrics. At most 64 connections at a time,
// one request each. Where a token is needed /metrics asks for one with the admin grant; /livez and
// /readyz, which orchestrators call, do not. Thread: caller serialises.
class AdminListener {
 public:
  // `authority` and `identity` must outlive it; without an identity it does not speak TLS.
  AdminListener(ListenAddress address, bool is_local_only, const Authority& authority,
                const ServerIdentity* identity, AdminPages pages);
  // Joins the thread; requests under way are cut.
  ~AdminListener();
  AdminListener(const AdminListener&) = delete;
  AdminListener& operator=(const AdminListener&) = delete;

  // Listens and serves; returns "host:port" with the port that was bound. kUnavailable when that is
  // not possible.
  Result<std::string> start();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
