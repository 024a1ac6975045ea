#include "eventstore/head_file.h"

#include <atomic>
#include <cstring>
#include <xxhash.h>

#include <fmt/format.h>
#include <rocksdb/file_system.h>

#include "eventstore/keys.h"

namespace tidegate {
namespace {

constexpr std::string_view kMagic = "TGHEAD01";
constexpr std::size_t kSlotBytes = 64;
// A torn or lost sector harms one slot only.
constexpr std::uint64_t kSlotDistance = 4096;
constexpr std::size_t kFileBytes = kSlotDistance * 2;

struct Slot {
  std::uint64_t counter = 0;
  HeadMark mark;
};

Status to_status(const rocksdb::IOStatus& status, const char* doing, const std::string& path) {
  if (status.ok()) return {};
  const Code code =
      status.IsNotFound() || status.IsPathNotFound() ? Code::kNotFound : Code::kUnavailable;
  return Error{code, fmt::format("cannot {} {}: {}", doing, path, status.ToString())};
}

std::string encode(const Slot& slot) {
  std::string bytes(kMagic);
  append_big_endian(bytes, slot.counter);
  bytes.append(slot.mark.log.text());
  append_big_endian(bytes, slot.mark.head.sequence);
  append_big_endian(bytes, slot.mark.head.chain);
  bytes.resize(kSlotBytes - 8);
  append_big_endian(bytes, XXH3_64bits(bytes.data(), bytes.size()));
  return bytes;
}

std::optional<Slot> decode(std::string_view bytes) {
  if (bytes.size() != kSlotBytes || !bytes.starts_with(kMagic)) return std::nullopt;
  if (read_big_endian(bytes.substr(kSlotBytes - 8)) != XXH3_64bits(bytes.data(), kSlotBytes - 8)) {
    return std::nullopt;
  }
  const auto log = LogId::parse(bytes.substr(16, LogId::kLength));
  if (!log) return std::nullopt;
  Slot slot;
  slot.counter = read_big_endian(bytes.substr(8));
  slot.mark.log = *log;
  slot.mark.head.sequence = read_big_endian(bytes.substr(32));
  slot.mark.head.chain = read_big_endian(bytes.substr(40));
  return slot;
}

// The newer valid slot.
Result<Slot> read_newest(rocksdb::FileSystem& file_system, const std::string& path) {
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  auto opened = to_status(file_system.NewRandomAccessFile(path, {}, &file, nullptr), "open", path);
  if (!opened) return std::move(opened).error();
  std::optional<Slot> newest;
  for (const std::uint64_t offset : {std::uint64_t{0}, kSlotDistance}) {
    char scratch[kSlotBytes];
    rocksdb::Slice bytes;
    auto read =
        to_status(file->Read(offset, kSlotBytes, {}, &bytes, scratch, nullptr), "read", path);
    if (!read) return std::move(read).error();
    const auto slot = decode({bytes.data(), bytes.size()});
    if (slot && (!newest || slot->counter > newest->counter)) newest = slot;
  }
  if (!newest) return Error{Code::kDataLoss, fmt::format("{} has no valid slot", path)};
  return *newest;
}

}  // namespace

struct HeadFile::Impl {
  std::shared_ptr<rocksdb::FileSystem> file_system;
  std::string path;
  std::unique_ptr<rocksdb::FSRandomRWFile> file;
  std::mutex mutex;
  std::uint64_t counter = 0;  // under mutex
  std::atomic<bool> dirty{false};
};

HeadFile::HeadFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HeadFile::~HeadFile() = default;

Status HeadFile::create(rocksdb::FileSystem& file_system, const std::string& path,
                        const HeadMark& mark) {
  std::unique_ptr<rocksdb::FSWritableFile> file;
  auto created = to_status(file_system.NewWritableFile(path, {}, &file, nullptr), "create", path);
  if (!created) return created;
  std::string bytes = encode({1, mark});
  bytes.resize(kSlotDistance);
  bytes += encode({2, mark});
  bytes.resize(kFileBytes);
  for (auto status :
       {file->Append(bytes, {}, nullptr), file->Fsync({}, nullptr), file->Close({}, nullptr)}) {
    auto done = to_status(status, "write", path);
    if (!done) return done;
  }
  return {};
}

Result<HeadMark> HeadFile::read(rocksdb::FileSystem& file_system, const std::string& path) {
  auto slot = read_newest(file_system, path);
  if (!slot) return std::move(slot).error();
  return slot->mark;
}

Result<std::unique_ptr<HeadFile>> HeadFile::open(std::shared_ptr<rocksdb::FileSystem> file_system,
                                                 const std::string& path) {
  auto slot = read_newest(*file_system, path);
  if (!slot) return std::move(slot).error();
  auto impl = std::make_unique<Impl>();
  impl->file_system = std::move(file_system);
  impl->path = path;
  impl->counter = slot->counter;
  auto opened =
      to_status(impl->file_system->NewRandomRWFile(path, {}, &impl->file, nullptr), "open", path);
  if (!opened) return std::move(opened).error();
  return std::unique_ptr<HeadFile>(new HeadFile(std::move(impl)));
}

Status HeadFile::advance(const HeadMark& mark) {
  const std::lock_guard lock(impl_->mutex);
  ++impl_->counter;
  // Counter 1 is in slot 0, 2 in slot 1, and so on: the slot that holds the older mark is
  // overwritten.
  const std::uint64_t offset = impl_->counter % 2 == 1 ? 0 : kSlotDistance;
  auto written = to_status(impl_->file->Write(offset, encode({impl_->counter, mark}), {}, nullptr),
                           "write", impl_->path);
  if (written) impl_->dirty = true;
  return written;
}

Status HeadFile::sync() {
  // Cleared first: a mark that comes during the sync is synced by the next call.
  if (!impl_->dirty.exchange(false)) return {};
  return to_status(impl_->file->Sync({}, nullptr), "sync", impl_->path);
}

}  // namespace tidegate
