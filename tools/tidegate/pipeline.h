#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "tidegate/v1/event_service.pb.h"
#include "tools/tidegate/backoff.h"
#include "tools/tidegate/interrupt.h"

namespace tidegate {

class Client;

// Events on their way to a gateway, each with a number by which the caller knows it (a line, a
// sequence).
struct PipelineBatch {
  v1::PublishRequest request;
  std::vector<std::uint64_t> tags;
  std::size_t bytes = 0;

  void add(std::string stream, v1::CloudEvent event, std::uint64_t tag);
  // The next event should begin a new batch.
  bool is_full() const;
};

// One PublishPipeline call with a bounded number of unanswered batches. When the call ends for want
// of capacity or the connection is lost, what was not answered is sent again in order, which the
// events' ids make safe. Thread: caller serialises.
class Pipeline {
 public:
  // Called in the order of the batches: what became of each.
  using Answered = std::function<void(const PipelineBatch&, const Result<v1::PublishResponse>&)>;

  // `client` and `interrupt` outlive it. Ctrl-C ends the call; what is unanswered then has an
  // unknown outcome.
  Pipeline(Client& client, Interrupt& interrupt, Answered answered);
  ~Pipeline();

  // Waits while the window is full. An error is the end: the gateway stayed unreachable, refuses
  // every call, or Ctrl-C.
  Status send(PipelineBatch batch);
  // Waits for all answers.
  Status drain();

 private:
  struct Call;
  Status step();
  Status after_break();
  void read_answer(v1::PublishPipelineResponse& response);

  Client& client_;
  Interrupt& interrupt_;
  Answered answered_;
  std::unique_ptr<Call> call_;
  Guarded<Call*> cancellable_{nullptr};
  Interrupt::Guard guard_;
  std::deque<PipelineBatch> unanswered_;
  std::size_t written_ = 0;  // the first of `unanswered_` that are on the current call
  std::uint64_t next_batch_ = 1;
  Backoff backoff_;
  bool was_answered_ = false;
};

}  // namespace tidegate
