#include "eventstore/manifest_tail.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <rocksdb/file_system.h>

#include "eventstore/write_ahead_log.h"

namespace tidegate {
namespace {

// Whether the piece that `block`, the rest of a block, begins with is torn, given where the zeros
// begin that reach to the end of the file.
bool is_torn_piece(std::string_view block, std::size_t zeros) {
  if (zeros < kPieceHeaderBytes) return true;  // the type, which comes last, is never zero
  const LogPiece claimed = claimed_piece(block);
  return claimed.type >= kFullPiece && claimed.type <= kLastPiece && zeros < claimed.bytes &&
         claimed.bytes <= block.size();
}

// The bytes of a string as a file.
class SoundFile final : public rocksdb::FSSequentialFile {
 public:
  explicit SoundFile(std::string_view left) : left_(left) {}
  rocksdb::IOStatus Read(std::size_t size, const rocksdb::IOOptions&, rocksdb::Slice* result,
                         char* scratch, rocksdb::IODebugContext*) override {
    const std::size_t got = left_.copy(scratch, size);
    left_.remove_prefix(got);
    *result = {scratch, got};
    return {};
  }
  rocksdb::IOStatus Skip(std::uint64_t size) override {
    left_.remove_prefix(std::min<std::size_t>(size, left_.size()));
    return {};
  }

 private:
  std::string_view left_;
};

class ViewWithoutTail final : public rocksdb::FileSystemWrapper {
 public:
  ViewWithoutTail(const std::shared_ptr<rocksdb::FileSystem>& files, TornManifest torn)
      : FileSystemWrapper(files), torn_(std::move(torn)) {}
  const char* Name() const override { return "tidegate.ViewWithoutTail"; }
  // RocksDB reads a MANIFEST in no other way.
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext* debug) override {
    if (path != torn_.path) return target()->NewSequentialFile(path, options, file, debug);
    *file = std::make_unique<SoundFile>(torn_.sound);
    return {};
  }

 private:
  const TornManifest torn_;
};

}  // namespace

std::optional<std::size_t> torn_tail(std::string_view manifest) {
  const std::size_t zeros = manifest.find_last_not_of('\0') + 1;
  if (zeros == manifest.size()) return std::nullopt;
  std::size_t at = 0;
  std::size_t record = 0;  // where the one begins that goes on at `at`; `at` itself between two
  while (at < manifest.size()) {
    const std::size_t left = kLogBlockBytes - at % kLogBlockBytes;
    const std::string_view block = manifest.substr(at, left);
    const auto piece = sound_piece(block);
    const bool is_trailer = left < kPieceHeaderBytes;
    if (!piece && !is_trailer) {
      // RocksDB takes zeros between records for padding.
      if (zeros <= at && record == at) return std::nullopt;
      if (!is_torn_piece(block, std::max(zeros, at) - at)) return std::nullopt;
      return record;
    }
    const std::size_t end = at + (piece ? piece->bytes : left);
    if (piece && piece->type == kFirstPiece) record = at;
    const bool goes_on =
        piece ? piece->type == kFirstPiece || piece->type == kMiddlePiece : record != at;
    at = end;
    if (!goes_on) record = end;
  }
  return std::nullopt;
}

std::optional<TornManifest> find_torn_manifest(rocksdb::FileSystem& files,
                                               const std::string& db_path) {
  std::string name;
  if (!rocksdb::ReadFileToString(&files, db_path + "/CURRENT", &name).ok()) return std::nullopt;
  if (!name.starts_with("MANIFEST-") || !name.ends_with('\n')) return std::nullopt;
  name.pop_back();
  TornManifest torn{db_path + "/" + name, {}, 0};
  if (!rocksdb::ReadFileToString(&files, torn.path, &torn.sound).ok()) return std::nullopt;
  const auto tail = torn_tail(torn.sound);
  if (!tail) return std::nullopt;
  torn.torn_bytes = torn.sound.size() - *tail;
  torn.sound.resize(*tail);
  return torn;
}

std::shared_ptr<rocksdb::FileSystem> view_without_tail(
    const std::shared_ptr<rocksdb::FileSystem>& files, TornManifest torn) {
  return std::make_shared<ViewWithoutTail>(files, std::move(torn));
}

}  // namespace tidegate
