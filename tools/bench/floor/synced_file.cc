#include "tools/bench/floor/synced_file.h"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <fmt/format.h>

namespace tidegate::bench {

std::unique_ptr<SyncedFile> SyncedFile::make(const std::string& directory) {
  std::string path = directory + "/tidegate-floor-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) {
    fmt::print(stderr, "tidegate_floor: no file can be made in {}\n", directory);
    return nullptr;
  }
  ::unlink(path.c_str());
  return std::unique_ptr<SyncedFile>(new SyncedFile(fd));
}

SyncedFile::~SyncedFile() {
  ::close(fd_);
}

bool SyncedFile::append(const std::string& bytes) {
  const bool is_good =
      ::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
      ::fdatasync(fd_) == 0;
  if (!is_good) fmt::print(stderr, "tidegate_floor: a write or fdatasync failed\n");
  return is_good;
}

}  // namespace tidegate::bench
