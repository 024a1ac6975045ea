#include "projections/registry.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "eventstore/base/text.h"
#include "projections/row_keys.h"
#include "projections/row_store.h"

namespace tidegate {
namespace {

Registry::Record::State record_state_of(VersionInfo::State state) {
  switch (state) {
    case VersionInfo::State::kBuilding:
      return Registry::Record::STATE_BUILDING;
    case VersionInfo::State::kLive:
      return Registry::Record::STATE_LIVE;
    case VersionInfo::State::kRetired:
      return Registry::Record::STATE_RETIRED;
  }
  return Registry::Record::STATE_UNSPECIFIED;
}

Registry::Record record_of_projection(const Projection& projection,
                                      const Projection::State& state) {
  Registry::Record record;
  record.set_name(projection.name());
  record.set_next_version_number(state.next_number);
  record.set_paused(state.is_paused);
  for (const Projection::Version& version : state.versions) {
    Registry::Record::Version& row = *record.add_versions();
    const VersionIdentity& identity = version.folded->identity();
    row.set_number(identity.number);
    row.set_fold_number(identity.fold_number);
    row.set_definition(version.folded->definition().text);
    row.set_created_us(identity.created_us);
    row.set_state(record_state_of(version.state));
    row.set_began_after(identity.began_after);
    for (const Sequence sequence : version.skipped) row.add_skipped(sequence);
  }
  return record;
}

Error damaged_definition(std::string_view key) {
  return {
      Code::kDataLoss,
      fmt::format("the row of projection '{}' is damaged: restore the directory or a backup, or "
                  "start with projections.enabled = false",
                  printable(definition_name(key)))};
}

}  // namespace

Registry::Registry(DerivedRows& rows) : rows_(rows) {}

Result<std::vector<Registry::Record>> Registry::load() {
  auto catalog = rows_.get(catalog_key());
  if (!catalog) return std::move(catalog).error();
  if (catalog->has_value()) {
    storage::v1::ProjectionCatalog row;
    if (!row.ParseFromString(**catalog))
      return Error{Code::kDataLoss,
                   "the catalog of projections is damaged: restore the directory or a backup, or "
                   "start with projections.enabled = false"};
    next_fold_number_ = std::max(next_fold_number_, row.next_fold_number());
  }
  std::vector<Record> records;
  const auto rows = rows_.iterate(definitions_begin(), definitions_end());
  for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
    Record record;
    const std::string_view value = rows->value();
    if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
        record.name() != definition_name(rows->key())) {
      return damaged_definition(rows->key());
    }
    // The catalog may be lost where definitions were salvaged.
    for (const Record::Version& version : record.versions())
      next_fold_number_ = std::max(next_fold_number_, version.fold_number() + 1);
    if (record.name().empty()) {
      first_number_ = std::max(first_number_, record.next_version_number());
    } else {
      records.push_back(std::move(record));
    }
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return records;
}

void Registry::put_catalog(DerivedRows::Batch& batch) const {
  storage::v1::ProjectionCatalog row;
  row.set_next_fold_number(next_fold_number_);
  batch.put(catalog_key(), row.SerializeAsString());
}

Result<std::uint64_t> Registry::allot_fold_number() {
  const std::uint64_t number = next_fold_number_++;
  DerivedRows::Batch batch(rows_);
  put_catalog(batch);
  auto written = rows_.write_durable(batch);
  if (!written) return std::move(written).error();
  return number;
}

Status Registry::put(const Projection& projection, const Projection::State& state) {
  DerivedRows::Batch batch(rows_);
  batch.put(definition_key(projection.name()),
            record_of_projection(projection, state).SerializeAsString());
  return rows_.write_durable(batch);
}

Status Registry::remove(const Projection& projection, const Projection::State& state) {
  first_number_ = std::max(first_number_, state.next_number);
  Record numbering;
  numbering.set_next_version_number(first_number_);
  DerivedRows::Batch batch(rows_);
  batch.put(definition_key(""), numbering.SerializeAsString());
  batch.remove(definition_key(projection.name()));
  return rows_.write_durable(batch);
}

Status Registry::erase_orphans(const std::set<std::uint64_t>& named) {
  std::vector<std::uint64_t> orphans;
  {
    const auto rows = rows_.iterate(folds_begin(), folds_end());
    rows->seek_to_first();
    while (rows->is_valid()) {
      const std::uint64_t number = fold_number_of(rows->key());
      if (!named.contains(number)) orphans.push_back(number);
      rows->seek(fold_prefix(number + 1));
    }
    auto status = rows->status();
    // Damaged rows can be folded again and cost only their space.
    if (!status)
      log(LogLevel::kWarn, "rows of projections cannot all be read",
          {{"error", status.error().message}});
  }
  for (const std::uint64_t number : orphans) {
    auto erased = RowStore(rows_, number).erase();
    if (!erased) return erased;
  }
  return {};
}

}  // namespace tidegate
