#include "projections/row_value.h"

#include "eventstore/keys.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {
namespace {

constexpr std::size_t kRowHeaderBytes = 16;

}  // namespace

Error damaged_rows() {
  return {Code::kDataLoss,
          "rows of the projection are damaged; `tidegate projection rebuild` folds them anew"};
}

std::string encode_row(const RowValue& row) {
  std::string value;
  value.reserve(kRowHeaderBytes + row.document.size() + row.state.size());
  append_big_endian(value, row.sequence);
  append_big_endian(value, row.document.size());
  value.append(row.document);
  value.append(row.state);
  return value;
}

std::optional<RowValue> decode_row(std::string_view value) {
  if (value.size() < kRowHeaderBytes) return std::nullopt;
  RowValue row;
  row.sequence = read_big_endian(value);
  const std::uint64_t document_bytes = read_big_endian(value.substr(8));
  value.remove_prefix(kRowHeaderBytes);
  if (row.sequence == 0 || document_bytes > value.size()) return std::nullopt;
  row.document = value.substr(0, document_bytes);
  row.state = value.substr(document_bytes);
  return row;
}

std::string encode_checkpoint(const Checkpoint& checkpoint) {
  storage::v1::ProjectionCheckpoint row;
  row.set_log_id(std::string(checkpoint.position.log.text()));
  row.set_sequence(checkpoint.position.sequence);
  row.set_check(checkpoint.position.check);
  row.set_rows(checkpoint.rows);
  row.set_bytes(checkpoint.bytes);
  row.set_events(checkpoint.events);
  row.set_removals(checkpoint.removals);
  row.set_removals_floor(checkpoint.removals_floor);
  return row.SerializeAsString();
}

Result<Checkpoint> decode_checkpoint(std::string_view value) {
  storage::v1::ProjectionCheckpoint row;
  if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) return damaged_rows();
  const auto log = LogId::parse(row.log_id());
  if (!log) return damaged_rows();
  Checkpoint checkpoint;
  checkpoint.position = {*log, row.sequence(), row.check()};
  checkpoint.rows = row.rows();
  checkpoint.bytes = row.bytes();
  checkpoint.events = row.events();
  checkpoint.removals = row.removals();
  checkpoint.removals_floor = row.removals_floor();
  return checkpoint;
}

}  // namespace tidegate
