#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate {

// The one JSON Lines form of import, export, read, follow and replay:
//   {"sequence":1042,"stream":"orders.42","revision":3,"time":"2026-01-02T03:04:05Z","event":{CloudEvent}}

// Appends the line of an event, without the line end.
// Thread: any (pure function).
void append_event_line(std::string& out, const v1::RecordedEvent& record);

// The CloudEvents JSON object alone, on one line.
// Thread: any (pure function).
void append_event_json(std::string& out, const v1::CloudEvent& event);

// What an import takes from a line; `sequence`, `revision` and `time` are where the event was, and
// are ignored.
struct EventLine {
  std::string stream;
  v1::CloudEvent event;
};

// Reads lines.
// Thread: caller serialises.
class EventLineParser {
 public:
  EventLineParser();
  ~EventLineParser();

  // kBadEvent with what is wrong. The event is checked as a publish request is.
  Result<EventLine> parse(std::string_view line);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace tidegate
