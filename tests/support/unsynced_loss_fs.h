#pragma once

#include <memory>

#include "tests/support/simulated_disk.h"

namespace rocksdb {
class FileSystem;
}

namespace tidegate::test {

// RocksDB's view of a SimulatedDisk in its present run. After the run has ended every operation
// fails, also on files that are open; ask for another one after SimulatedDisk::restart.
// Thread: any (internally synchronised).
std::shared_ptr<rocksdb::FileSystem> file_system_of(std::shared_ptr<SimulatedDisk> disk);

}  // namespace tidegate::test
