#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "tools/bench/floor/floor.h"
#include "tools/bench/floor/now.h"
#include "tools/bench/floor/synced_file.h"
#include "tools/tidegate/histogram.h"

namespace tidegate::bench {

int measure_fdatasync(const std::string& directory, std::uint64_t times) {
  const auto file = SyncedFile::make(directory);
  if (!file) return 1;
  const std::string block(4096, 'x');
  Histogram took;
  bool is_good = true;
  for (std::uint64_t i = 0; i < times && is_good; ++i) {
    const std::int64_t began_us = now_us();
    is_good = file->append(block);
    took.record(now_us() - began_us);
  }
  if (!is_good) return 1;
  fmt::print("{{\"fdatasync_p50_us\":{},\"fdatasync_p99_us\":{}}}\n", took.percentile_us(50),
             took.percentile_us(99));
  return 0;
}

}  // namespace tidegate::bench
