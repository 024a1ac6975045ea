#include "tools/tidegate/progress.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

#include <fmt/format.h>

#include "tools/tidegate/output.h"

namespace tidegate {
namespace {

using std::chrono::steady_clock;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr int kBarColumns = 24;

std::string bar(double fraction) {
  const int filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kBarColumns);
  return "[" + std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(kBarColumns - filled), '.') + "]";
}

}  // namespace

Progress::Progress(bool quiet)
    : enabled_(!quiet && isatty(STDERR_FILENO) == 1), began_(steady_clock::now()) {}

Progress::~Progress() {
  clear();
}

void Progress::show(double fraction, const std::string& text, std::int64_t left_us) {
  const auto now = steady_clock::now();
  if (!enabled_ || now - drawn_at_ < kRedraw) return;
  drawn_at_ = now;
  drawn_ = true;
  if (fraction < 0) {
    fmt::print(stderr, "\r{}\x1b[K", text);
  } else {
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::microseconds>(now - began_).count();
    if (left_us < 0 && fraction > 0.001) {
      left_us = static_cast<std::int64_t>(static_cast<double>(elapsed) *
                                          (1 - std::min(fraction, 1.0)) / fraction);
    }
    const std::string left = left_us < 0 ? "" : "  " + human_duration(left_us) + " left";
    fmt::print(stderr, "\r{} {:3.0f}%  {}{}\x1b[K", bar(fraction), std::min(fraction, 1.0) * 100,
               text, left);
  }
  std::fflush(stderr);
}

void Progress::clear() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace tidegate
