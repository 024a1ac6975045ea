#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <fmt/format.h>

#include "tools/bench/floor/floor.h"
#include "tools/bench/floor/now.h"
#include "tools/tidegate/histogram.h"

namespace tidegate::bench {

int measure_fdatasync(const std::string& directory, std::uint64_t times) {
  std::string path = directory + "/tidegate-floor-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0) {
    fmt::print(stderr, "tidegate_floor: no file can be made in {}\n", directory);
    return 1;
  }
  ::unlink(path.c_str());
  const std::string block(4096, 'x');
  Histogram took;
  bool is_good = true;
  for (std::uint64_t i = 0; i < times && is_good; ++i) {
    const std::int64_t began_us = now_us();
    is_good = ::write(fd, block.data(), block.size()) == static_cast<ssize_t>(block.size()) &&
              ::fdatasync(fd) == 0;
    took.record(now_us() - began_us);
  }
  ::close(fd);
  if (!is_good) {
    fmt::print(stderr, "tidegate_floor: a write or fdatasync in {} failed\n", directory);
    return 1;
  }
  fmt::print("{{\"fdatasync_p50_us\":{},\"fdatasync_p99_us\":{}}}\n", took.percentile_us(50),
             took.percentile_us(99));
  return 0;
}

}  // namespace tidegate::bench
