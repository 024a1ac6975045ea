#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "eventstore/segment.h"

namespace tidegate {

// An attribute of an event beyond id, source and type: `subject`, `time`, `datacontenttype`, or an
// extension.
struct EventAttribute {
  enum class Kind : std::uint8_t { kBool, kInteger, kText, kBytes, kTime };
  std::string_view name;
  Kind kind = Kind::kText;
  std::string_view text;    // kText, kBytes
  std::int64_t number = 0;  // kBool: 0 or 1; kInteger; kTime: microseconds since 1970 (UTC)
};

// What a fold asks of an event, read from its bytes where they stand and only when it is asked for.
// One object serves one event after the other and keeps its memory.
//
// Views live as long as the record that was given to `begin`.
// Thread: caller serialises.
class EventView {
 public:
  EventView() = default;
  EventView(const EventView&) = delete;
  EventView& operator=(const EventView&) = delete;

  // Goes to the next event. Nothing of it is read yet.
  void begin(const RecordView& record);

  // Stream, type, sequence, revision and append time stand there.
  const RecordView& record() const { return record_; }
  // Required by CloudEvents, so empty only in damaged bytes.
  std::string_view id() { return scanned().id_; }
  std::string_view source() { return scanned().source_; }
  // Empty when the event has none.
  std::string_view subject();
  // The `time` attribute, or the append time of an event without one.
  std::int64_t time_us();

  // In the order in which they are stored: by name.
  std::span<const EventAttribute> attributes() { return scanned().attributes_; }
  // Null when the event has none of this name.
  const EventAttribute* attribute(std::string_view name);

  // Empty without data, too.
  std::string_view data() { return scanned().data_; }
  bool has_data() { return scanned().has_data_; }
  // Whether the data is JSON: declared so, or text without a declaration. Publishing has checked
  // that it is one value, at most 64 deep.
  bool has_json();
  // Whether the data was published as text (which JSON always is) and not as opaque bytes.
  bool has_text() { return scanned().has_text_; }

 private:
  EventView& scanned() {
    if (!is_scanned_) scan();
    return *this;
  }
  void scan();

  RecordView record_;
  bool is_scanned_ = false;
  std::string_view id_;
  std::string_view source_;
  std::vector<EventAttribute> attributes_;
  std::string_view data_;
  bool has_data_ = false;
  bool has_text_ = false;
};

}  // namespace tidegate
