#pragma once

#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "tidegate/v1/event_service.pb.h"
#include "tools/tidegate/backoff.h"

namespace tidegate {

class Client;
class Interrupt;

// The events of a Read request in pages, so that a replay that takes hours holds no call open,
// keeps a bounded number of events in memory and survives a restart of the gateway. Thread: caller
// serialises.
class EventSource {
 public:
  struct Page {
    std::vector<v1::RecordedEvent> events;
    std::string position;  // after the page
    bool last = false;
  };

  // `request.limit` is set page by page.
  EventSource(Client& client, Interrupt& interrupt, v1::ReadRequest request)
      : client_(client), interrupt_(interrupt), request_(std::move(request)) {}

  // The next page. Tries again for about half a minute when the gateway was reached before and is
  // away; an error is the end, Ctrl-C too.
  Result<Page> next();

 private:
  Result<Page> read_page();

  Client& client_;
  Interrupt& interrupt_;
  v1::ReadRequest request_;
  Backoff backoff_;
  bool was_reached_ = false;
};

}  // namespace tidegate
