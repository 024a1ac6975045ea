#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rocksdb {
class FileSystem;
}

namespace tidegate {

// The end of RocksDB's MANIFEST, the log of its changes to the set of tables. RocksDB acts on a
// record of it only after its sync, so that one which a power cut tore promises nothing. It passes
// over one that the end of the file cuts, but (7.8.3) refuses the whole database when zeros are in
// the place of the missing bytes, as file systems leave them whose size is on disk before the data.

// Where the torn records begin: nothing when RocksDB gets past the end by itself or when the first
// damage is another kind. A torn record misses at least its last byte, and zeros follow from there
// to the end of the file. Pure.
std::optional<std::size_t> torn_tail(std::string_view manifest);

// A MANIFEST with a torn tail. Plain data.
struct TornManifest {
  std::string path;
  std::string sound;  // the bytes before the tail
  std::size_t torn_bytes = 0;
};

// The MANIFEST that CURRENT names, if its tail is torn. One that is missing or cannot be read is
// left to the opening that follows. Blocks on the disk.
// Thread: any.
std::optional<TornManifest> find_torn_manifest(rocksdb::FileSystem& files,
                                               const std::string& db_path);

// The file system as it would be without the torn tail, to look before anything is changed. A
// synced record that was zeroed by damage looks the same; what is then missing shows only later.
// Thread: any (as far as `files` is).
std::shared_ptr<rocksdb::FileSystem> view_without_tail(
    const std::shared_ptr<rocksdb::FileSystem>& files, TornManifest torn);

}  // namespace tidegate
