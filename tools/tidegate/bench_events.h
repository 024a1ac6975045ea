#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tidegate/v1/event_service.pb.h"

namespace tidegate {

// The time of a load run: microseconds since 1970 that never jump, so that send times always have
// 16 digits and differences are true. Comparable only with itself and its copies.
// Thread: immutable.
class LoadClock {
 public:
  LoadClock();

  std::int64_t now_us() const { return offset_us_ + steady_us(); }
  // For sleeping until a time of this clock.
  std::chrono::microseconds until(std::int64_t time_us) const {
    return std::chrono::microseconds(time_us - now_us());
  }

 private:
  static std::int64_t steady_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  std::int64_t offset_us_;
};

// What the benchmarks publish: CloudEvents with unique ids of one length, and with JSON data of an
// exact size that begins with the intended send time:
//
//   {"sent_us":1790000000000000,"text":"7d3e0c..."}
//
// The text is hexadecimal noise, which compresses about 2:1 as much real JSON does.
// Thread: immutable.
class BenchEvents {
 public:
  static constexpr std::string_view kSentName = R"({"sent_us":)";
  static constexpr std::size_t kSentDigits = 16;
  static constexpr std::size_t kDataBytesMin = 40;
  static constexpr std::size_t kDataBytesMax = 1'000'000;

  // Event n goes to stream n modulo their number. `publisher` makes the ids of several publishers
  // of one run distinct. `data_bytes` is within the bounds above.
  BenchEvents(std::size_t data_bytes, std::vector<std::string> streams, std::uint32_t publisher);

  // Makes `event` the `number`-th. Reuses what memory an event from an earlier call has.
  void fill(v1::NewEvent& event, std::uint64_t number, std::int64_t sent_us) const;

 private:
  std::size_t data_bytes_;
  std::vector<std::string> streams_;
  std::string id_prefix_;
  std::string noise_;
};

// The send time in an event's data; nothing when no benchmark wrote it.
inline std::optional<std::int64_t> sent_us_of(std::string_view data) {
  if (data.size() < BenchEvents::kDataBytesMin || !data.starts_with(BenchEvents::kSentName))
    return std::nullopt;
  std::int64_t sent_us = 0;
  for (const char c : data.substr(BenchEvents::kSentName.size(), BenchEvents::kSentDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    sent_us = sent_us * 10 + (c - '0');
  }
  return sent_us;
}

}  // namespace tidegate
