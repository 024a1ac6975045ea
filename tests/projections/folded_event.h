#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projections/fold.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate::test {

// An event as a fold meets it. The defaults suit tests that do not look at that part.
// Thread: caller serialises.
struct FoldedEvent {
  std::string data = "{}";
  std::string type = "order.placed";
  std::string stream = "orders.eu.1";
  std::string id = "1";
  std::string source = "/tests";
  std::string subject = {};
  std::string content_type = {};
  std::optional<std::int64_t> time_us = {};
  std::map<std::string, std::string> extensions = {};
  bool is_binary = false;
  Sequence sequence = 1;
  std::string bytes = {};  // made by `record`

  // Views into this object, until the next call.
  RecordView record() {
    v1::CloudEvent event;
    event.set_id(id);
    event.set_source(source);
    event.set_spec_version("1.0");
    event.set_type(type);
    auto& attributes = *event.mutable_attributes();
    if (!subject.empty()) attributes["subject"].set_ce_string(subject);
    if (!content_type.empty()) attributes["datacontenttype"].set_ce_string(content_type);
    if (time_us) {
      auto& time = *attributes["time"].mutable_ce_timestamp();
      time.set_seconds(*time_us / 1'000'000);
      time.set_nanos(static_cast<std::int32_t>(*time_us % 1'000'000 * 1000));
    }
    for (const auto& [name, value] : extensions) attributes[name].set_ce_string(value);
    if (is_binary) {
      event.set_binary_data(data);
    } else {
      event.set_text_data(data);
    }
    bytes = event.SerializeAsString();
    RecordView view;
    view.sequence = sequence;
    view.revision = sequence;
    view.append_time_us = 1'000'000'000'000'000;  // 2001-09-09T01:46:40Z
    view.stream = stream;
    view.type = type;
    view.event = bytes;
    return view;
  }
};

// Committed rows, as a fold finds them again.
// Thread: caller serialises.
class MapRows final : public RowSource {
 public:
  Result<std::optional<StoredRow>> find(std::string_view key) override {
    ++finds;
    const auto found = rows.find(std::string(key));
    if (found == rows.end()) return std::optional<StoredRow>();
    return std::optional<StoredRow>(found->second);
  }

  void commit(const std::vector<RowChange>& changes) {
    for (const RowChange& change : changes) {
      sequences[change.row.key] = change.row.sequence;
      if (change.row.is_removed()) {
        rows.erase(change.row.key);
      } else {
        rows[change.row.key] = {change.row.document, change.state};
      }
    }
  }

  std::map<std::string, std::string> documents() const {
    std::map<std::string, std::string> documents;
    for (const auto& [key, row] : rows) documents[key] = row.document;
    return documents;
  }

  std::map<std::string, StoredRow> rows;
  std::map<std::string, Sequence> sequences;  // of the last change, removals included
  std::size_t finds = 0;
};

}  // namespace tidegate::test
