#pragma once

#include <grpcpp/support/server_callback.h>

#include "eventstore/event_store.h"
#include "gateway/api/work_thread.h"
#include "tidegate/v1/admin_service.pb.h"

namespace tidegate {

// Serves AdminService.VerifyLog: progress about every 250 ms, then what was found. `overloaded`
// while another one runs. The reactor deletes itself. Thread: any (internally synchronised).
grpc::ServerWriteReactor<v1::VerifyLogResponse>* start_verify_call(const EventStore& store,
                                                                   WorkThread& thread);

}  // namespace tidegate
