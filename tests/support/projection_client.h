#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/types.h"
#include "tests/support/tcp_client.h"
#include "tidegate/v1/projection_service.pb.h"

namespace tidegate::test {

// Rows as a reader holds them, by key.
struct HeldRow {
  std::string document;
  Sequence sequence = 0;
  friend bool operator==(const HeldRow&, const HeldRow&) = default;
};
using HeldRows = std::map<std::string, HeldRow>;

std::uint64_t hash_of(const HeldRows& rows);
// The first row that differs, for a test's output; "" when none does.
std::string difference(const HeldRows& found, const HeldRows& expected);

struct HeldSnapshot {
  HeldRows rows;
  std::string position;
  std::uint32_t version = 0;

  Sequence sequence() const;  // of `position`
};

// An event to publish, with JSON data.
struct ChangeEvent {
  std::string stream;
  std::string type;
  std::string data;
};

// A client of EventService and ProjectionService over real gRPC. A call that fails unexpectedly
// fails the test. Thread: any (internally synchronised).
class ProjectionClient {
 public:
  explicit ProjectionClient(const std::string& grpc_address);
  ~ProjectionClient();
  ProjectionClient(const ProjectionClient&) = delete;
  ProjectionClient& operator=(const ProjectionClient&) = delete;

  // All in one batch, with ids of its own. The position after it; "" when it was refused.
  std::string publish(const std::vector<ChangeEvent>& events);

  // These return the number of the version that is to become the live one, 0 after a failure.
  std::uint32_t apply(const std::string& definition);
  std::uint32_t rebuild(const std::string& name);
  std::uint32_t rollback(const std::string& name);
  // Whether this version took over in time.
  bool wait_live(const std::string& name, std::uint32_t number, Milliseconds time = kPatience);

  // Nothing, quietly, when it cannot be had.
  std::optional<v1::Projection> info(const std::string& name);
  std::optional<v1::QueryProjectionResponse> query(const v1::QueryProjectionRequest& request);
  // All rows as of one position.
  std::optional<HeldSnapshot> snapshot(const std::string& name);
  // The same, once it reflects this sequence.
  std::optional<HeldSnapshot> snapshot_at(const std::string& name, Sequence sequence);

 private:
  struct Stubs;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace tidegate::test
