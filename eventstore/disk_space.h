#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace tidegate {

// Keeps RocksDB from ever meeting a full disk: Debian's build aborts on one.
//
// Below the soft watermark publishing stops; below the hard floor cursor acknowledgements stop too,
// and the ballast (a preallocated file) is given back, so that what RocksDB still has in memory
// finds room. Both heal by themselves: publishing begins again at the watermark plus an eighth, so
// that it does not flap, and the ballast is laid in again after that.
//
// Others may fill the disk between two looks. Then a write fails (exit 74) or RocksDB aborts the
// process: nothing that was answered is lost, and a start with less than the hard floor is refused
// (exit 73).
//
// Thread: any (internally synchronised). `refresh` runs on the appender (before a group, while
// space is not ample) and on upkeep (every second), also at the same time: then the older look may
// win, until the next one. `keep_ballast`: upkeep only.
class DiskSpace {
 public:
  struct Options {
    std::string dir;
    std::uint64_t soft_bytes = 0;
    std::uint64_t hard_bytes = 0;
    std::uint64_t ballast_bytes = 0;  // 0: no ballast
    // Called on both threads that refresh.
    std::function<std::uint64_t(const std::string& dir)> free_bytes;
  };
  explicit DiskSpace(Options options);

  // Asks the file system.
  void refresh();
  // Frees or lays in the ballast as the space demands. May block for a disk write.
  void keep_ballast();

  std::uint64_t free_bytes() const { return free_bytes_.load(std::memory_order_relaxed); }
  bool allows_publishing() const { return allows_publishing_.load(std::memory_order_relaxed); }
  bool allows_cursors() const { return allows_cursors_.load(std::memory_order_relaxed); }
  // Whether so much is free that asking once in a while is enough, rather than before every group.
  bool is_ample() const {
    return free_bytes() > options_.soft_bytes * 2 + (std::uint64_t{256} << 20);
  }

 private:
  const Options options_;
  const std::string ballast_path_;
  std::atomic<std::uint64_t> free_bytes_{0};
  std::atomic<bool> allows_publishing_{true};
  std::atomic<bool> allows_cursors_{true};
};

}  // namespace tidegate
