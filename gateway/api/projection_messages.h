#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "gateway/delivery/principal.h"
#include "projections/engine.h"
#include "projections/trial.h"
#include "projections/watch.h"
#include "tidegate/v1/projection_service.pb.h"

namespace tidegate {

// Projections as messages tell them, and requests as the engine takes them. Errors name the field.
// Thread: any (pure functions of this file).

// The field `name`: kBadArgument when no projection, built in or not, can be called that.
Status check_projection_field(std::string_view name);

// Everything but `min_position`, which needs the log. kBadArgument.
Result<RowQuery> to_row_query(const v1::QueryProjectionRequest& request);
// kBadArgument, kBadPosition.
Result<WatchRequest> to_watch_request(const v1::WatchProjectionRequest& request);

// Definitions are left out unless the reader may read the projection. What a failure says of its
// event is told to those who may read its stream; of no event, to those who may read all of the
// version's streams.
void set_projection(v1::Projection& out, const ProjectionInfo& info, const Principal& reader);
void set_query_response(v1::QueryProjectionResponse& out, RowPage page);
void set_watch_response(v1::WatchProjectionResponse& out, WatchStep step);
// As many rows as an answer should have bytes; `row_count` tells of the rest.
void set_test_response(v1::TestProjectionResponse& out, TrialReport report);

// Bytes of keys and documents.
std::size_t row_bytes(const std::vector<Row>& rows);

}  // namespace tidegate
