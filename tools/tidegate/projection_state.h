#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "tidegate/v1/projection.pb.h"
#include "tools/tidegate/output.h"

namespace tidegate {

class Client;

// How projections are told. Thread: any.

// Null when there is none.
const v1::ProjectionVersion* version_in(const v1::Projection& projection, v1::VersionState state);
const v1::ProjectionVersion* version_numbered(const v1::Projection& projection,
                                              std::uint32_t number);
const v1::ProjectionVersion* newest_version(const v1::Projection& projection);

// A line of `projection ls`, whose names are those of `projection_header`.
std::vector<std::string> projection_header();
Row projection_row(const v1::Projection& projection);

// What went wrong with a version, for people: "stopped at event 17 (orders.eu.1, order.paid): ...".
std::string failure_text(const v1::FoldFailure& failure);

// "1 row", "2 rows".
std::string counted(std::uint64_t count, const std::string& what);

// That the live version does not go on, and which command tells why; empty: it does.
std::string trouble_text(const v1::Projection& projection);

// That a new version would lack what the live one folded from events that are trimmed by now;
// empty: it would not. `floor` is the log's first sequence.
std::string loss_text(const v1::Projection& projection, std::uint64_t floor);

// Which versions stand still where a log that begins at `floor` has no events for them any more.
std::vector<std::string> stranded_texts(const std::vector<v1::Projection>& projections,
                                        std::uint64_t floor);

Result<v1::Projection> get_projection(Client& client, const std::string& name);
Result<std::vector<v1::Projection>> all_projections(Client& client);
Result<std::uint64_t> floor_of_log(Client& client);

}  // namespace tidegate
