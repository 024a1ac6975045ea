#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/types.h"

namespace tidegate::test {

// What publishers sent and were told, what subscribers saw, and the log that an independent reader
// found in the end; and the judgement whether the three fit together. Knows nothing of the product
// but its numbers: patterns are matched by code of its own. Thread: caller serialises (value types
// and pure functions of this file).

// Hash of what an event says. `id` is unique in a history, so equal hashes mean the same event.
std::uint64_t event_hash(std::string_view stream, std::string_view type, std::string_view id,
                         std::string_view data);

// Whether a pattern (`*` one token, `>` one or more trailing tokens) matches a stream: written for
// this file, from docs/storage-format.md's words, to be compared with the product's own.
bool pattern_matches(std::string_view pattern, std::string_view stream);

struct SentEvent {
  std::string id;
  std::uint64_t hash = 0;
};

struct EventPlace {
  Sequence sequence = 0;
  bool deduplicated = false;
};

// One attempt of a publish request.
struct PublishRecord {
  enum class Outcome : std::uint8_t {
    kUnknown,  // timeout, cut, or never answered: there wholly or not at all
    kOk,       // promised to be there
    kRefused,  // promised not to be there
  };
  std::uint32_t publisher = 0;
  std::uint64_t number = 0;      // of the publisher, in the order of sending
  std::int64_t invoked_ns = 0;   // before the send
  std::int64_t answered_ns = 0;  // after the answer
  Outcome outcome = Outcome::kUnknown;
  std::vector<SentEvent> events;
  std::vector<EventPlace> places = {};  // of kOk, one per event
};

// An event of the final read.
struct LogEntry {
  Sequence sequence = 0;
  Revision revision = 0;
  std::string stream;
  std::string type;
  std::string id;
  std::uint64_t hash = 0;
};

// How a subscriber finds its place again.
enum class Resume : std::uint8_t { kPosition, kInteger, kCursor };

struct DeliveryRecord {
  enum class Kind : std::uint8_t {
    kOpened,   // asked to go on after `sequence` (of kCursor: where it begins without a stored
               // place)
    kBegun,    // was told that delivery begins after `sequence`
    kEvent,    // got an event
    kMark,     // was told that everything up to `sequence` was examined
    kAckSent,  // acknowledged up to `sequence`
    kAcked,    // was told that the acknowledgement is on disk
    kGap,      // was told that events below `sequence` are gone
    kReset,    // was told that its history is not the log's
  };
  Kind kind = Kind::kEvent;
  Sequence sequence = 0;
  std::uint64_t hash = 0;  // of kEvent
};

struct SubscriberHistory {
  std::string name;
  std::vector<std::string> streams;
  std::vector<std::string> types;
  Resume resume = Resume::kPosition;
  std::vector<DeliveryRecord> records;
};

struct History {
  std::vector<PublishRecord> requests;
  std::vector<SubscriberHistory> subscribers;
  Sequence floor = 1;
  std::vector<LogEntry> log;  // from the floor to the head
};

// A broken promise, with the least that shows it.
struct Violation {
  std::string invariant;  // "I1" ... "I12"
  std::string witness;
};

// The invariants of a history at rest, when publishers have stopped and subscribers have drained to
// the head:
//   I1  what was acknowledged is in the log, at that sequence, with that content
//   I2  the log holds only what was sent; of a refused request nothing; of any request all or
//   nothing I3  what a subscriber saw is in the log, at that sequence, with that content I4
//   sequences are contiguous, revisions per stream as well (from the first held on) I5  no event
//   twice; acknowledged requests are in the order of each publisher, and in real time I6  between
//   two places of a subscriber it got every event that matches, and no other; in the end it is at
//   the head I7  its sequences increase I8  none is delivered twice: not on one connection, nor
//   across connections by position or integer I12 a stored cursor never goes back, nor beyond what
//   was acknowledged
// At most 20 violations of each.
std::vector<Violation> check_history(const History& history);

// One line per violation, for a test's output; empty when there is none.
std::string describe(const std::vector<Violation>& violations);

}  // namespace tidegate::test
