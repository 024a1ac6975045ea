// Clients that come and go, read or do not, while rows change, versions take over and commits leave
// memory: in the end every client's rows are the projection's.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/projection_fixture.h"

namespace tidegate::test {
namespace {

class RowSimulation : public ProjectionFixture, public testing::WithParamInterface<unsigned> {
 protected:
  struct Client {
    WireForm form = WireForm::kJson;
    std::unique_ptr<Peer> peer;
    Rows rows;
    std::string position;  // last place at which they were right
    unsigned version = 0;  // 0: it has no such place
  };

  RowSimulation() : random_(GetParam()) {
    for (int at = 0; at < 6; ++at) {
      clients_.emplace_back();
      clients_.back().form = at % 2 == 0 ? WireForm::kJson : WireForm::kProto;
    }
  }

  std::size_t below(std::size_t end) { return random_() % end; }

  // False when nothing was on its way.
  bool receive(Client& client) {
    if (!client.peer) return false;
    const bool has_come = client.peer->take_write();
    const auto seen = client.peer->take();
    take_rows(client.rows, seen);
    for (const SeenMessage& message : seen) {
      EXPECT_NE(message.op, "error") << message.field("message");
      if (message.op == "watch_reset") client.version = 0;
      if (message.op != "watch_position" && message.op != "snapshot_end") continue;
      client.position = message.field("position");
      client.version = static_cast<unsigned>(message.number("version"));
    }
    return has_come;
  }

  // What came after the last place is told again.
  void come(Client& client) {
    client.peer = std::make_unique<Peer>(*loop_, client.form, Principal::unrestricted());
    v1::ClientMessage message = watch("w");
    if (client.version != 0) {
      message.mutable_watch()->mutable_after()->set_position(client.position);
      message.mutable_watch()->mutable_after()->set_version(client.version);
    } else {
      client.rows.clear();
    }
    client.peer->say(message);
  }

  void step() {
    Client& client = clients_[below(clients_.size())];
    switch (below(10)) {
      case 0:
        if (!client.peer) return come(client);
        client.peer.reset();
        return;
      case 1:
        if (below(20) == 0) projections_.take_over();
        if (below(4) == 0) projections_.forget_commits();
        return;
      case 2:
      case 3:
        return change({fmt::format("k{}", below(12)), fmt::format("k{}", below(12))},
                      below(3) == 0 ? std::string() : std::to_string(below(1000)));
      case 4:
      case 5:
        if (log_.tasks() > 0) log_.run_task();
        return;
      default:
        receive(client);
    }
  }

  void finish() {
    for (Client& client : clients_) {
      if (!client.peer) come(client);
    }
    for (bool is_busy = true; is_busy;) {
      settle_log();
      is_busy = false;
      for (Client& client : clients_) is_busy = receive(client) || is_busy;
    }
  }

  std::mt19937_64 random_;
  std::vector<Client> clients_;
};

TEST_P(RowSimulation, EveryWatchEndsWithTheRowsOfTheProjection) {
  for (int i = 0; i < 2000; ++i) step();
  finish();
  for (Client& client : clients_) {
    EXPECT_EQ(client.rows, projections_.table());
    EXPECT_EQ(client.position, projections_.position().text());
    // Sessions end before their loop.
    client.peer.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RowSimulation, testing::Range(1U, 41U));

}  // namespace
}  // namespace tidegate::test
