#include "eventstore/storage.h"

#include <algorithm>
#include <array>
#include <sys/resource.h>
#include <vector>

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include "eventstore/keys.h"

namespace tidegate {
namespace {

constexpr std::array<const char*, 5> kFamilyNames = {"log", "index", "cursors", "projections",
                                                     "meta"};

constexpr std::size_t kMiB = 1 << 20;

rocksdb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view view(const rocksdb::Slice& text) {
  return {text.data(), text.size()};
}

Status to_status(const rocksdb::Status& status, const char* doing) {
  if (status.ok()) return {};
  // A file that is not there is as good as a damaged one.
  const bool failed = status.IsIOError() && !status.IsPathNotFound();
  const Code code = failed ? Code::kUnavailable : Code::kDataLoss;
  return Error{code, fmt::format("{}: {}", doing, status.ToString())};
}

// Drops index runs whose every event is below the floor.
class TrimmedRuns final : public rocksdb::CompactionFilter {
 public:
  explicit TrimmedRuns(const std::atomic<Sequence>& floor) : floor_(floor) {}
  const char* Name() const override { return "tidegate.TrimmedRuns"; }
  bool Filter(int, const rocksdb::Slice& key, const rocksdb::Slice&, std::string*,
              bool*) const override {
    const std::string_view text = view(key);
    return text.size() == kRunKeyBytes && text.front() == kRunKind &&
           run_last_sequence(text) < floor_.load(std::memory_order_relaxed);
  }

 private:
  const std::atomic<Sequence>& floor_;
};

rocksdb::BlockBasedTableOptions table_options(std::size_t block_bytes, bool bloom,
                                              std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_size = block_bytes;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  table.block_cache = std::move(cache);
  if (bloom) table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  return table;
}

// What all families share. Stall triggers are out of reach: the appender has its own back-pressure,
// and a stalled write would stall acknowledgements without saying why.
rocksdb::ColumnFamilyOptions family_options() {
  rocksdb::ColumnFamilyOptions options;
  // One compression for all levels: RocksDB moves files between levels without rewriting them only
  // then.
  options.compression = rocksdb::kLZ4Compression;
  options.level0_slowdown_writes_trigger = 1000;
  options.level0_stop_writes_trigger = 2000;
  options.soft_pending_compaction_bytes_limit = 0;
  options.hard_pending_compaction_bytes_limit = 0;
  options.memtable_protection_bytes_per_key = 8;
  options.paranoid_file_checks = true;
  return options;
}

rocksdb::ColumnFamilyOptions log_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  // Keys only grow, so leveled compaction moves files and rewrites nothing.
  rocksdb::ColumnFamilyOptions options = family_options();
  options.write_buffer_size = 64 * kMiB;
  options.max_write_buffer_number = 4;
  options.target_file_size_base = 64 * kMiB;
  options.max_bytes_for_level_base = 512 * kMiB;
  options.table_factory.reset(NewBlockBasedTableFactory(table_options(16 << 10, false, cache)));
  return options;
}

rocksdb::ColumnFamilyOptions index_options(const std::shared_ptr<rocksdb::Cache>& cache,
                                           const rocksdb::CompactionFilter* filter) {
  rocksdb::ColumnFamilyOptions options = family_options();
  options.write_buffer_size = 16 * kMiB;
  options.max_write_buffer_number = 4;
  options.compaction_filter = filter;
  // Rows come in key order within a batch: each kind (the first byte) goes on where its last one
  // was put.
  options.memtable_insert_with_hint_prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(1));
  // Most look-ups of an unknown stream end at the filter.
  options.table_factory.reset(NewBlockBasedTableFactory(table_options(8 << 10, true, cache)));
  return options;
}

// Rows are changed over and over: the more of that happens in memory, the less is written.
rocksdb::ColumnFamilyOptions rows_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options = family_options();
  options.write_buffer_size = 32 * kMiB;
  // Storage::make_room stays clear of this number, so that only half of them are ever in use.
  options.max_write_buffer_number = 6;
  // Most look-ups of a row that is new end at the filter.
  options.table_factory.reset(NewBlockBasedTableFactory(table_options(8 << 10, true, cache)));
  return options;
}

// Memtables of a family that wait for their flush before its writers have to wait.
constexpr std::uint64_t kUnflushedMemtablesMax = 2;

rocksdb::ColumnFamilyOptions small_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options = family_options();
  options.write_buffer_size = 4 * kMiB;
  options.table_factory.reset(NewBlockBasedTableFactory(table_options(8 << 10, true, cache)));
  return options;
}

// Open tables: a quarter of the files that the process may have, since running out of them would be
// a failed write.
int tables_open_max() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
  return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 4, 16, 2048));
}

rocksdb::DBOptions db_options(Storage::Mode mode) {
  rocksdb::DBOptions options;
  options.create_if_missing = mode == Storage::Mode::kCreate;
  options.create_missing_column_families = mode == Storage::Mode::kCreate;
  // One table that is missing or cut would keep all others from being read.
  options.paranoid_checks = mode != Storage::Mode::kSalvage;
  // Stops at the first damage. Whether what it recovered is enough is decided by comparing it with
  // HEAD (open.cc).
  // To accept a loss, that mode would not do: it refuses a family that is ahead of the damage, as
  // the index, which has no write-ahead log, nearly always is.
  options.wal_recovery_mode = mode == Storage::Mode::kSalvage
                                  ? rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords
                                  : rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // After a write error the state of the log on disk is unknown; RocksDB's own resume has lost data
  // (7.8.3).
  options.max_bgerror_resume_count = 0;
  // The log is replayed twice at a start (probe, then open): this bounds both.
  options.max_total_wal_size = 64 * kMiB;
  options.bytes_per_sync = kMiB;
  options.max_open_files = tables_open_max();
  options.max_background_jobs = 2;
  options.avoid_unnecessary_blocking_io = true;
  options.allow_concurrent_memtable_write = false;  // one writer
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.keep_log_file_num = 4;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

}  // namespace

struct Storage::Impl {
  std::shared_ptr<rocksdb::FileSystem> file_system;
  std::unique_ptr<rocksdb::Env> env;
  std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(128 * kMiB);
  std::atomic<Sequence> floor{1};
  TrimmedRuns trimmed_runs{floor};
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;  // families, then "default"
  std::function<void(const Error&)> write_failed;
  std::atomic<bool> has_failed{false};

  rocksdb::ColumnFamilyHandle* handle(Family family) const {
    return handles[static_cast<std::size_t>(family)];
  }
};

struct StorageBatch::Impl {
  const Storage::Impl& storage;
  // 8 bytes of checksum per key go with the batch from here to the memtable.
  rocksdb::WriteBatch batch{0, 0, 8, 0};
};

struct StorageIterator::Impl {
  Storage::Range range;
  rocksdb::Slice lower;
  rocksdb::Slice upper;
  std::unique_ptr<rocksdb::Iterator> iterator;
};

StorageBatch::StorageBatch(const Storage& storage)
    : impl_(std::make_unique<Impl>(Impl{*storage.impl_})) {}
StorageBatch::~StorageBatch() = default;

// A WriteBatch operation fails only when the batch has grown past 4 GiB, far beyond what a group
// may hold.
void StorageBatch::put(Family family, std::string_view key, std::string_view value) {
  const auto status = impl_->batch.Put(impl_->storage.handle(family), slice(key), slice(value));
  TG_CHECK(status.ok(), status.ToString());
}

void StorageBatch::remove(Family family, std::string_view key) {
  const auto status = impl_->batch.Delete(impl_->storage.handle(family), slice(key));
  TG_CHECK(status.ok(), status.ToString());
}

void StorageBatch::remove_range(Family family, std::string_view lower, std::string_view upper) {
  const auto status =
      impl_->batch.DeleteRange(impl_->storage.handle(family), slice(lower), slice(upper));
  TG_CHECK(status.ok(), status.ToString());
}

void StorageBatch::remove_above(Family family, std::string_view first) {
  // Longer than any key, and of the highest bytes.
  static const std::string kEnd(64, '\xFF');
  const auto status =
      impl_->batch.DeleteRange(impl_->storage.handle(family), slice(first), slice(kEnd));
  TG_CHECK(status.ok(), status.ToString());
}

void StorageBatch::clear() {
  impl_->batch.Clear();
}
bool StorageBatch::is_empty() const {
  return impl_->batch.Count() == 0;
}

StorageIterator::StorageIterator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StorageIterator::~StorageIterator() = default;
bool StorageIterator::is_valid() const {
  return impl_->iterator->Valid();
}
void StorageIterator::seek(std::string_view key) {
  impl_->iterator->Seek(slice(key));
}
void StorageIterator::seek_for_prev(std::string_view key) {
  impl_->iterator->SeekForPrev(slice(key));
}
void StorageIterator::seek_to_first() {
  impl_->iterator->SeekToFirst();
}
void StorageIterator::seek_to_last() {
  impl_->iterator->SeekToLast();
}
void StorageIterator::next() {
  impl_->iterator->Next();
}
void StorageIterator::prev() {
  impl_->iterator->Prev();
}
std::string_view StorageIterator::key() const {
  return view(impl_->iterator->key());
}
std::string_view StorageIterator::value() const {
  return view(impl_->iterator->value());
}
Status StorageIterator::status() const {
  const rocksdb::Status status = impl_->iterator->status();
  if (status.ok()) return {};
  return Error{Code::kDataLoss, fmt::format("cannot read the log: {}", status.ToString())};
}

Storage::Storage(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Storage::~Storage() {
  // RocksDB cannot flush again what a failed flush has begun with.
  if (impl_->has_failed) impl_->db->SetDBOptions({{"avoid_flush_during_shutdown", "true"}});
  for (auto* handle : impl_->handles) {
    const auto status = impl_->db->DestroyColumnFamilyHandle(handle);
    TG_CHECK(status.ok(), status.ToString());
  }
}

Result<std::unique_ptr<Storage>> Storage::open(const std::string& dir, Mode mode,
                                               std::shared_ptr<rocksdb::FileSystem> file_system) {
  auto impl = std::make_unique<Impl>();
  rocksdb::DBOptions options = db_options(mode);
  if (file_system) {
    impl->file_system = file_system;
    impl->env = rocksdb::NewCompositeEnv(file_system);
    options.env = impl->env.get();
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {kFamilyNames[0], log_options(impl->cache)},
      {kFamilyNames[1], index_options(impl->cache, &impl->trimmed_runs)},
      {kFamilyNames[2], small_options(impl->cache)},
      {kFamilyNames[3], rows_options(impl->cache)},
      {kFamilyNames[4], small_options(impl->cache)},
      {rocksdb::kDefaultColumnFamilyName, small_options(impl->cache)},  // RocksDB insists; empty
  };
  for (auto& family : families)
    family.options.disable_auto_compactions = mode == Mode::kSalvage;  // it would meet the damage
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      mode == Mode::kReadOnly
          ? rocksdb::DB::OpenForReadOnly(options, dir, families, &impl->handles, &db)
          : rocksdb::DB::Open(options, dir, families, &impl->handles, &db);
  impl->db.reset(db);
  auto opened = to_status(status, "cannot open the log");
  if (!opened) return std::move(opened).error();
  return std::unique_ptr<Storage>(new Storage(std::move(impl)));
}

void Storage::on_write_failed(std::function<void(const Error&)> failed) {
  impl_->write_failed = std::move(failed);
}

Status Storage::written(Status status) const {
  if (!status) {
    impl_->has_failed = true;
    if (impl_->write_failed) impl_->write_failed(status.error());
  }
  return status;
}

Status Storage::write_synced(StorageBatch& batch) {
  rocksdb::WriteOptions options;
  options.sync = true;
  return written(to_status(impl_->db->Write(options, &batch.impl_->batch), "cannot write the log"));
}

Status Storage::write_unsynced(StorageBatch& batch) {
  return written(to_status(impl_->db->Write({}, &batch.impl_->batch), "cannot write the log"));
}

Status Storage::sync() {
  return written(to_status(impl_->db->SyncWAL(), "cannot sync the log"));
}

Status Storage::write_unlogged(StorageBatch& batch) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return written(
      to_status(impl_->db->Write(options, &batch.impl_->batch), "cannot write derived rows"));
}

Status Storage::make_room(Family family) {
  std::uint64_t unflushed = 0;
  const bool is_known = impl_->db->GetIntProperty(
      impl_->handle(family), rocksdb::DB::Properties::kNumImmutableMemTable, &unflushed);
  if (!is_known || unflushed < kUnflushedMemtablesMax) return {};
  // Waits until everything of the family is on disk.
  return flush(family);
}

Result<std::optional<std::string>> Storage::get(Family family, std::string_view key) const {
  std::string value;
  const rocksdb::Status status = impl_->db->Get({}, impl_->handle(family), slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) {
    return Error{Code::kDataLoss, fmt::format("cannot read the log: {}", status.ToString())};
  }
  return std::optional<std::string>(std::move(value));
}

std::unique_ptr<StorageIterator> Storage::iterate(Family family, Range range) const {
  auto made = std::make_unique<StorageIterator::Impl>();
  made->range = std::move(range);
  made->lower = slice(made->range.lower);
  made->upper = slice(made->range.upper);
  rocksdb::ReadOptions options;
  if (!made->range.lower.empty()) options.iterate_lower_bound = &made->lower;
  if (!made->range.upper.empty()) options.iterate_upper_bound = &made->upper;
  if (made->range.sequential) {
    options.fill_cache = false;
    options.readahead_size = kMiB;
  }
  if (made->range.unflushed) options.read_tier = rocksdb::kMemtableTier;
  made->iterator.reset(impl_->db->NewIterator(options, impl_->handle(family)));
  return std::unique_ptr<StorageIterator>(new StorageIterator(std::move(made)));
}

Status Storage::flush(Family family) {
  if (impl_->has_failed) return Error{Code::kUnavailable, "cannot flush: the disk has failed"};
  return written(to_status(impl_->db->Flush({}, impl_->handle(family)), "cannot flush"));
}

Status Storage::delete_log_below(Sequence floor) {
  auto* const log = impl_->handle(Family::kLog);
  const std::string first = log_key(0);
  const std::string end = log_key(floor);
  const rocksdb::Slice begin_slice(first);
  const rocksdb::Slice end_slice(end);
  auto files =
      to_status(rocksdb::DeleteFilesInRange(impl_->db.get(), log, &begin_slice, &end_slice, false),
                "cannot delete files");
  if (!files) return files;
  return to_status(impl_->db->DeleteRange({}, log, begin_slice, end_slice), "cannot delete events");
}

std::uint64_t Storage::bytes_on_disk() const {
  std::uint64_t sum = 0;
  for (auto* const handle : impl_->handles) {
    std::uint64_t bytes = 0;
    if (impl_->db->GetIntProperty(handle, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes))
      sum += bytes;
  }
  rocksdb::VectorLogPtr logs;
  if (impl_->db->GetSortedWalFiles(logs).ok()) {
    for (const auto& log : logs) sum += log->SizeFileBytes();
  }
  return sum;
}

Status Storage::verify_tables() const {
  std::vector<rocksdb::LiveFileMetaData> files;
  impl_->db->GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    // Another version of the table can be sound in itself.
    std::uint64_t bytes = 0;
    const std::string path = file.directory + "/" + file.relative_filename;
    const auto measured = impl_->db->GetEnv()->GetFileSize(path, &bytes);
    if (!measured.ok() || bytes != file.size) {
      return Error{Code::kDataLoss, fmt::format("the table {} has {} bytes instead of {}",
                                                file.relative_filename, bytes, file.size)};
    }
  }
  const rocksdb::Status status = impl_->db->VerifyChecksum();
  if (status.ok()) return {};
  // A sector that cannot be read is as good as a damaged one.
  return Error{Code::kDataLoss, fmt::format("cannot read the tables: {}", status.ToString())};
}

Status Storage::tell_tables_apart() {
  // While all tables are in level 0 and there are at most three, RocksDB looks into each of them
  // (FilePicker in 7.8.3); else it goes by their key ranges, which it knows without them. This one
  // goes to the last level. It is not flushed, because without paranoid_checks a flush that fails
  // is waited for forever.
  const std::string path = impl_->db->GetName() + "/below.sst";
  rocksdb::Options options(impl_->db->GetDBOptions(),
                           impl_->db->GetOptions(impl_->handle(Family::kLog)));
  rocksdb::SstFileWriter table(rocksdb::EnvOptions(), options);
  auto status = table.Open(path);
  if (status.ok()) status = table.Put(slice(log_key(0)), rocksdb::Slice());
  if (status.ok()) status = table.Finish();
  rocksdb::IngestExternalFileOptions ingestion;
  ingestion.move_files = true;
  if (status.ok())
    status = impl_->db->IngestExternalFile(impl_->handle(Family::kLog), {path}, ingestion);
  return to_status(status, "cannot prepare the tables");
}

void Storage::set_floor(Sequence floor) {
  impl_->floor.store(floor, std::memory_order_relaxed);
}

}  // namespace tidegate
