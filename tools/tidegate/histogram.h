#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidegate {

// A log-linear histogram of microseconds: every value is kept to three significant digits.
//
// Values below 2048 have a bucket each. Above, each doubling is divided into 1024 buckets of equal
// width, so that a bucket is never wider than a thousandth of its values:
//
//   value           bucket width   buckets
//   0 .. 2047       1              2048
//   2048 .. 4095    2              1024
//   4096 .. 8191    4              1024   and so on, up to 2^36 us (19 hours); larger ones count
//                                         there
//
// A percentile is the highest value of the bucket that holds it, but never above the largest value
// that was recorded: it errs upwards by less than 0.1%. Histograms of several threads are added,
// which loses nothing; percentiles themselves must never be averaged.
//
// Thread: caller serialises.
class Histogram {
 public:
  Histogram() : buckets_(kBuckets) {}

  // Negative values (a clock was set back) count as 0.
  void record(std::int64_t value_us) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(value_us, 0));
    ++buckets_[bucket_of(value)];
    ++count_;
    max_ = std::max(max_, value);
  }

  void add(const Histogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  std::uint64_t count() const { return count_; }
  // Exact.
  std::uint64_t max_us() const { return max_; }

  // The value that `percent` (0-100) of all values do not exceed; 0 when there are none.
  std::uint64_t percentile_us(double percent) const {
    const double rank = std::ceil(static_cast<double>(count_) * percent / 100.0);
    const auto wanted =
        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(rank), 1, std::max(count_, kOne));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen >= wanted) return std::min(highest_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr std::uint64_t kOne = 1;
  static constexpr unsigned kExactBits = 11;  // values of so many bits have a bucket each
  static constexpr unsigned kBitsMax = 36;
  static constexpr std::size_t kExact = std::size_t{1} << kExactBits;
  static constexpr std::size_t kPerDoubling = kExact / 2;
  static constexpr std::size_t kBuckets = kExact + (kBitsMax - kExactBits) * kPerDoubling;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < kExact) return static_cast<std::size_t>(value);
    value = std::min(value, (kOne << kBitsMax) - 1);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kExactBits;
    const auto leading = static_cast<std::size_t>(value >> shift);  // kPerDoubling .. kExact - 1
    return kExact + (shift - 1) * kPerDoubling + (leading - kPerDoubling);
  }

  static std::uint64_t highest_of(std::size_t bucket) {
    if (bucket < kExact) return bucket;
    const std::size_t shift = (bucket - kExact) / kPerDoubling + 1;
    const std::uint64_t leading = kPerDoubling + (bucket - kExact) % kPerDoubling;
    return ((leading + 1) << shift) - 1;
  }

  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace tidegate
