#pragma once

#include <cstdint>
#include <string>

#include "eventstore/base/clock.h"
#include "eventstore/event_store.h"
#include "gateway/api/grpc_server.h"
#include "gateway/config.h"
#include "gateway/delivery/budget.h"
#include "gateway/net/listen_socket.h"
#include "gateway/net/net_server.h"
#include "gateway/tls/server_identity.h"
#include "projections/engine.h"

namespace tidegate {

// What the settings mean to each part of the gateway, in the part's own terms, and what the machine
// leaves of it. Nothing here can fail: read_config has checked the values.
// Thread: any (pure functions, but for raise_open_files).

ListenAddress listen_address(const std::string& text);

// `clock` and `probe` must outlive the store.
StoreOptions store_options(const Config& config, Clock& clock, StoreProbe& probe);
// `clock` and `probe` must outlive the engine.
EngineOptions engine_options(const Config& config, const Clock& clock, ProjectionProbe& probe);
BudgetRates budget_rates(const Config& config);
// The identity may be null: no TLS.
NetOptions net_options(const Config& config, std::uint64_t connections_max,
                       const ServerIdentity* identity);
GrpcOptions grpc_options(const Config& config, const ServerIdentity* identity, ApiProbe& probe,
                         const PressureGauge& pressure);
// How many bytes the process may use.
std::uint64_t memory_ceiling(const Config& config);

// Raises the limit of open files as far as it goes. To be called before the store is opened, which
// asks how many there may be.
void raise_open_files();
// The connections that fit into the limit of open files: if they ran out of it, the log's files
// could not be opened, and that ends the process.
std::uint64_t fit_connections(const Config& config);

}  // namespace tidegate
