#include "projections/declarative_fold.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// Values in memory are several times their text: a number of two bytes takes 56.
constexpr std::size_t kMemoryPerTextByte = 4;
// What a map and an allocator add to a row.
constexpr std::size_t kRowOverheadBytes = 64;

constexpr std::string_view kWhatToDo = "apply a definition that fits such events, or skip this one";

// False when the value cannot be part of a key.
bool append_to_key(std::string& key, const EventValue& value) {
  switch (value.kind) {
    case EventValue::Kind::kText:
      key += value.text;
      return true;
    case EventValue::Kind::kInteger: {
      const fmt::format_int digits(value.integer);
      key.append(digits.data(), digits.size());
      return true;
    }
    case EventValue::Kind::kDouble:
      append_json_double(key, value.number);
      return true;
    case EventValue::Kind::kBool:
      key += value.boolean ? "true" : "false";
      return true;
    default:
      return false;
  }
}

}  // namespace

DeclarativeFold::DeclarativeFold(const Declarative& definition)
    : fields_(definition.fields), window_us_(definition.window_us) {
  for (const Declarative::Field& field : fields_) {
    std::string name;
    append_json_string(name, field.name);
    names_bytes_ += name.size() + 2;  // a colon and a comma
  }
  handlers_.reserve(definition.on.size());
  for (const TypeRules& type : definition.on) {
    Handler& handler = handlers_.emplace_back();
    handler.type = type;
    handler.key = definition.key;
    for (KeyPart& part : handler.key) {
      if (part.expression) bind_pointers(*part.expression, handler.finder);
    }
    for (FieldRule& rule : handler.type.rules) bind_pointers(rule.expression, handler.finder);
  }
}

DeclarativeFold::Handler* DeclarativeFold::handler_of(std::string_view type) {
  Handler* rest = nullptr;
  for (Handler& handler : handlers_) {
    if (handler.type.type == type) return &handler;
    if (handler.type.type == "*") rest = &handler;
  }
  return rest;
}

Status DeclarativeFold::apply(const RecordView& event, RowSource& rows) {
  Handler* const handler = handler_of(event.type);
  if (handler == nullptr) return {};
  values_.begin(event, handler->finder);
  const Result<bool> has_key = make_key(handler->key);
  if (!has_key) return has_key.error();
  if (!*has_key) return {};
  const Result<Entry*> entry = held_row(rows);
  if (!entry) return entry.error();
  HeldRow& row = (*entry)->second;
  if (handler->type.is_delete && !row.exists) return {};
  const std::size_t bytes_before = row.bytes;
  if (Status changed = change(*handler, row); !changed) return changed;
  mark_changed(**entry, bytes_before, event.sequence);
  return {};
}

Result<bool> DeclarativeFold::make_key(const std::vector<KeyPart>& parts) {
  key_.clear();
  for (const KeyPart& part : parts) {
    key_ += part.text;
    if (!part.expression) continue;
    const EventValue value = values_.of(*part.expression);
    if (value.is_missing()) return false;
    if (!append_to_key(key_, value)) {
      return Error{
          Code::kBadEvent,
          fmt::format("the key: {} is {}, and a key is made of text, numbers and booleans; "
                      "{}",
                      part.expression->text, value.shown(), kWhatToDo)};
    }
  }
  if (key_.empty()) return false;
  if (window_us_ > 0) append_bucket();
  return true;
}

void DeclarativeFold::append_bucket() {
  const std::int64_t time_us = values_.event().time_us();
  const std::int64_t start_us = time_us - time_us % window_us_;
  if (start_us != bucket_start_us_ || bucket_text_.empty()) {
    bucket_start_us_ = start_us;
    bucket_text_ = "@" + format_time(start_us);
  }
  key_ += bucket_text_;
}

Result<DeclarativeFold::Entry*> DeclarativeFold::held_row(RowSource& rows) {
  if (const auto held = rows_.find(key_); held != rows_.end()) return &*held;
  if (key_.size() > kRowKeyBytesMax) {
    return Error{Code::kBadEvent,
                 fmt::format("the key \"{}\" has {} bytes; at most {} are allowed; {}",
                             printable(key_), key_.size(), kRowKeyBytesMax, kWhatToDo)};
  }
  if (!is_valid_utf8(key_)) {
    return Error{Code::kBadEvent,
                 fmt::format("the key \"{}\" is not UTF-8; {}", printable(key_), kWhatToDo)};
  }
  const auto stored = rows.find(key_);
  if (!stored) return stored.error();
  HeldRow row;
  row.fields.resize(fields_.size());
  if (stored->has_value() && !restore(**stored, row)) {
    return Error{Code::kDataLoss,
                 fmt::format("the row \"{}\" is not what this definition made of it: rebuild the "
                             "projection",
                             printable(key_))};
  }
  bytes_ += sizeof(Entry) + kRowOverheadBytes + key_.size() + fields_.size() * sizeof(FieldState) +
            row.bytes * kMemoryPerTextByte;
  return &*rows_.emplace(key_, std::move(row)).first;
}

bool DeclarativeFold::restore(const StoredRow& stored, HeldRow& row) const {
  Result<Json> document = Json::parse(stored.document);
  if (!document || document->as<Json::Object>() == nullptr) return false;
  Json averages;
  if (!stored.state.empty()) {
    Result<Json> parsed = Json::parse(stored.state);
    if (!parsed) return false;
    averages = *std::move(parsed);
  }
  const auto* const average_of = averages.as<Json::Object>();
  for (auto& [name, value] : *document->as<Json::Object>()) {
    const auto field = std::lower_bound(
        fields_.begin(), fields_.end(), name,
        [](const Declarative::Field& left, const std::string& right) { return left.name < right; });
    if (field == fields_.end() || field->name != name) return false;
    const Json* average = nullptr;
    if (average_of != nullptr) {
      const auto found = average_of->find(name);
      if (found != average_of->end()) average = &found->second;
    }
    FieldState& state = row.fields[static_cast<std::size_t>(field - fields_.begin())];
    if (!restore_field(field->keeping, std::move(value), average, state)) return false;
    row.bytes += state.bytes;
  }
  row.exists = true;
  return true;
}

Status DeclarativeFold::change(const Handler& handler, HeldRow& row) {
  if (handler.type.is_delete) {
    std::fill(row.fields.begin(), row.fields.end(), FieldState());
    row.bytes = 0;
    row.exists = false;
    return {};
  }
  row.exists = true;
  for (const FieldRule& rule : handler.type.rules) {
    FieldState& state = row.fields[rule.field];
    const std::size_t bytes_before = state.bytes;
    const std::string wrong = fold_field(rule, values_, state);
    if (!wrong.empty()) return field_error(rule, wrong);
    row.bytes = row.bytes + state.bytes - bytes_before;
  }
  if (row.bytes + names_bytes_ <= kRowDocumentBytesMax) return {};
  return Error{Code::kBadEvent,
               fmt::format("the row \"{}\" would have more than {} bytes: let append keep less, or "
                           "spread the values over more keys; {}",
                           printable(key_), kRowDocumentBytesMax, kWhatToDo)};
}

void DeclarativeFold::mark_changed(Entry& entry, std::size_t bytes_before, Sequence sequence) {
  HeldRow& row = entry.second;
  bytes_ += row.bytes * kMemoryPerTextByte;
  bytes_ -= bytes_before * kMemoryPerTextByte;
  row.sequence = sequence;
  if (row.is_changed) return;
  row.is_changed = true;
  changed_.push_back(&entry);
}

Error DeclarativeFold::field_error(const FieldRule& rule, std::string_view wrong) const {
  const std::string_view operand =
      rule.op == FieldRule::Op::kCount ? std::string_view("events") : rule.expression.text;
  return {Code::kBadEvent,
          fmt::format("the field \"{}\" of the row \"{}\": {} of {}: {}; {}",
                      printable(fields_[rule.field].name), printable(key_), field_op_name(rule.op),
                      printable(operand), wrong, kWhatToDo)};
}

RowChange DeclarativeFold::rendered(const Entry& entry) const {
  const auto& [key, held] = entry;
  RowChange change;
  change.row.key = key;
  change.row.sequence = held.sequence;
  if (!held.exists) return change;
  std::string& document = change.row.document;
  Json::Object averages;
  document += '{';
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const FieldState& state = held.fields[i];
    if (!state.is_set) continue;
    if (document.size() > 1) document += ',';
    append_json_string(document, fields_[i].name);
    document += ':';
    append_field(document, fields_[i].keeping, state);
    if (fields_[i].keeping == Declarative::Keeping::kAverage)
      averages.emplace(fields_[i].name, average_state(state));
  }
  document += '}';
  if (!averages.empty()) change.state = Json(std::move(averages)).text();
  return change;
}

Result<std::vector<RowChange>> DeclarativeFold::take_changes() {
  std::sort(changed_.begin(), changed_.end(),
            [](const Entry* left, const Entry* right) { return left->first < right->first; });
  std::vector<RowChange> changes;
  changes.reserve(changed_.size());
  for (Entry* const entry : changed_) {
    entry->second.is_changed = false;
    changes.push_back(rendered(*entry));
  }
  changed_.clear();
  return changes;
}

void DeclarativeFold::forget() {
  rows_.clear();
  changed_.clear();
  bytes_ = 0;
}

}  // namespace tidegate
