#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/string_map.h"
#include "projections/declarative.h"
#include "projections/event_values.h"
#include "projections/field_state.h"
#include "projections/fold.h"
#include "projections/pointer_finder.h"

namespace tidegate {

// Folds by the rules of a declarative definition (declarative.h says what they mean). Rows are held
// field by field, and become documents once per commit; an event whose row is held costs no
// allocation for counts and numbers.
//
// Every event of a type that has rules, and whose key has a value, changes its row, if only the
// sequence: "as of this event" is part of what a row tells.
// Thread: caller serialises.
class DeclarativeFold final : public Fold {
 public:
  explicit DeclarativeFold(const Declarative& definition);

  Status apply(const RecordView& event, RowSource& rows) override;
  Result<std::vector<RowChange>> take_changes() override;
  void forget() override;
  std::size_t changed_rows() const override { return changed_.size(); }
  std::size_t bytes() const override { return bytes_; }

 private:
  // The rules of a type, with the pointers that they and the key look up.
  struct Handler {
    TypeRules type;
    std::vector<KeyPart> key;
    PointerFinder finder;
  };
  struct HeldRow {
    std::vector<FieldState> fields;
    std::size_t bytes = 0;  // of all fields
    Sequence sequence = 0;
    bool exists = false;
    bool is_changed = false;  // and is in `changed_`
  };
  using Entry = StringMap<HeldRow>::value_type;

  Handler* handler_of(std::string_view type);
  // Makes `key_`; false when the event has none.
  Result<bool> make_key(const std::vector<KeyPart>& parts);
  void append_bucket();
  // Of `key_`: as it is in memory, else from `rows`, else one that does not exist.
  Result<Entry*> held_row(RowSource& rows);
  bool restore(const StoredRow& stored, HeldRow& row) const;
  Status change(const Handler& handler, HeldRow& row);
  void mark_changed(Entry& entry, std::size_t bytes_before, Sequence sequence);
  Error field_error(const FieldRule& rule, std::string_view wrong) const;
  RowChange rendered(const Entry& entry) const;

  const std::vector<Declarative::Field> fields_;
  const std::int64_t window_us_;
  std::size_t names_bytes_ = 2;  // of all that a document has around its values
  std::vector<Handler> handlers_;

  StringMap<HeldRow> rows_;
  std::vector<Entry*> changed_;  // entries of a map stay where they are
  std::size_t bytes_ = 0;

  // Of the event under way.
  EventValues values_;
  std::string key_;
  // The bucket of the event before, which is mostly that of the next one.
  std::int64_t bucket_start_us_ = 0;
  std::string bucket_text_;
};

}  // namespace tidegate
