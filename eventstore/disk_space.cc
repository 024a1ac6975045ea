#include "eventstore/disk_space.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eventstore/base/log.h"

namespace tidegate {
namespace {

std::uint64_t size_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

DiskSpace::DiskSpace(Options options)
    : options_(std::move(options)), ballast_path_(options_.dir + "/ballast") {
  refresh();
}

void DiskSpace::refresh() {
  const std::uint64_t free = options_.free_bytes(options_.dir);
  free_bytes_.store(free, std::memory_order_relaxed);
  allows_cursors_.store(free >= options_.hard_bytes, std::memory_order_relaxed);
  const bool allowed = allows_publishing();
  const std::uint64_t needed =
      allowed ? options_.soft_bytes : options_.soft_bytes + options_.soft_bytes / 8;
  const bool allow = free >= needed;
  if (allow == allowed) return;
  allows_publishing_.store(allow, std::memory_order_relaxed);
  log(allow ? LogLevel::kInfo : LogLevel::kWarn,
      allow ? "disk space is back, publishing goes on" : "disk space is low, publishing is refused",
      {{"free_bytes", free}, {"soft_bytes", options_.soft_bytes}, {"dir", options_.dir}});
}

void DiskSpace::keep_ballast() {
  if (options_.ballast_bytes == 0) return;
  const std::uint64_t have = size_of(ballast_path_);
  if (!allows_cursors()) {
    if (have == 0) return;
    if (::truncate(ballast_path_.c_str(), 0) == 0) {
      log(LogLevel::kWarn, "disk space is below the hard floor, ballast given back",
          {{"bytes", have}});
    }
    return;
  }
  const std::uint64_t missing = options_.ballast_bytes - std::min(have, options_.ballast_bytes);
  if (missing == 0 || free_bytes() < options_.soft_bytes + options_.soft_bytes / 8 + missing)
    return;
  const int file = ::open(ballast_path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;
  // It only reserves blocks; when the file system cannot, there is no ballast, and the watermarks
  // alone must do.
  const int failed = ::posix_fallocate(file, 0, static_cast<off_t>(options_.ballast_bytes));
  if (failed != 0 && ::ftruncate(file, 0) != 0)
    log(LogLevel::kWarn, "cannot reset the ballast file");
  ::close(file);
}

}  // namespace tidegate
