#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::load {

// The events of this load client: text that every peer carries unchanged, so that deliveries can be
// found in the bytes of any protocol without taking it apart:
//
//   ^NNNNNNNNNNTTTTTTTTTTTTTTTT$7d3e0c...
//
// N is the event's number, T the time in microseconds when it was due or sent, and the rest is
// hexadecimal noise up to the wanted size, which compresses about 2:1 as much real JSON does.
inline constexpr char kEventBegin = '^';
inline constexpr char kEventHeadEnd = '$';
inline constexpr std::size_t kNumberDigits = 10;
inline constexpr std::size_t kTimeDigits = 16;
inline constexpr std::size_t kEventHeadBytes = 1 + kNumberDigits + kTimeDigits + 1;

struct EventHead {
  std::uint64_t number;
  std::int64_t time_us;
};

// Thread: caller serialises.
class EventText {
 public:
  // `size` is at least kEventHeadBytes.
  explicit EventText(std::size_t size) : size_(size), noise_(size + kNoiseBytes, '0') {
    std::uint64_t state = 0x9E3779B97F4A7C15U;
    for (char& c : noise_) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      c = "0123456789abcdef"[state >> 60];
    }
  }

  // Valid until the next call.
  std::string_view make(std::uint64_t number, std::int64_t time_us) {
    text_.assign(noise_, static_cast<std::size_t>(number * 61 % kNoiseBytes), size_);
    text_[0] = kEventBegin;
    write_digits(1, kNumberDigits, number);
    write_digits(1 + kNumberDigits, kTimeDigits, static_cast<std::uint64_t>(time_us));
    text_[kEventHeadBytes - 1] = kEventHeadEnd;
    return text_;
  }

 private:
  static constexpr std::size_t kNoiseBytes = 64 << 10;

  void write_digits(std::size_t at, std::size_t digits, std::uint64_t value) {
    for (std::size_t i = digits; i > 0; --i, value /= 10) {
      text_[at + i - 1] = static_cast<char>('0' + value % 10);
    }
  }

  std::size_t size_;
  std::string noise_;
  std::string text_;
};

// The head at the begin of `bytes`, which has kEventHeadBytes. Nothing when it is none: the first
// character may also be, say, the length of a frame.
inline std::optional<EventHead> event_head(const char* bytes) {
  if (bytes[kEventHeadBytes - 1] != kEventHeadEnd) return std::nullopt;
  std::array<std::uint64_t, 2> values{};
  for (std::size_t i = 1; i < kEventHeadBytes - 1; ++i) {
    if (bytes[i] < '0' || bytes[i] > '9') return std::nullopt;
    std::uint64_t& value = values[i > kNumberDigits ? 1 : 0];
    value = value * 10 + static_cast<std::uint64_t>(bytes[i] - '0');
  }
  return EventHead{values[0], static_cast<std::int64_t>(values[1])};
}

// Calls `on_event(EventHead)` for each event in `bytes`; returns how many bytes at their end may
// begin an event and must be there again, in front of newer ones, at the next call.
template <typename OnEvent>
std::size_t find_events(std::string_view bytes, OnEvent&& on_event) {
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  while (at < end) {
    at = static_cast<const char*>(std::memchr(at, kEventBegin, static_cast<std::size_t>(end - at)));
    if (at == nullptr) return 0;
    const auto left = static_cast<std::size_t>(end - at);
    if (left < kEventHeadBytes) return left;
    const std::optional<EventHead> head = event_head(at);
    if (head) on_event(*head);
    at += head ? kEventHeadBytes : 1;
  }
  return 0;
}

}  // namespace tidegate::load
