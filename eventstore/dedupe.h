#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "eventstore/types.h"

namespace tidegate {

// The newest events by (stream, source, id), so that publishing is idempotent: a hash of the key to
// the place and a hash of the content. Bounded by a number of events; the oldest goes first.
//
// A known key with the same content is a repeat and gets the place it had; with other content it is
// refused (kDuplicateId); one that has left the window is a new event. What that means for the
// checks of a request stands at LocalSequencer::number. It survives a restart: EventStore::open
// fills it from as many of the newest events (`fill_dedupe` in event_store.cc).
// Thread: appender only.
class DedupeWindow {
 public:
  struct Key {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Known {
    Sequence sequence = 0;
    Revision revision = 0;
    std::uint64_t content = 0;
    std::uint32_t check = 0;  // of the event's position
  };

  explicit DedupeWindow(std::size_t events_max);
  ~DedupeWindow();
  DedupeWindow(const DedupeWindow&) = delete;
  DedupeWindow& operator=(const DedupeWindow&) = delete;

  // 128 bits, so that a false match is out of the question (1 M events: 1 in 10^26).
  static Key key_of(std::string_view stream, std::string_view source, std::string_view id);
  static std::uint64_t content_of(std::string_view event);

  std::optional<Known> find(const Key& key) const;
  // Fetches what `find` and `insert` will look at: the window is larger than any processor's cache,
  // and many keys that are fetched at once cost little more than one.
  void prefetch(const Key& key) const;
  // `key` must not be known.
  void insert(const Key& key, const Known& known);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
