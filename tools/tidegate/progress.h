#pragma once

#include <chrono>
#include <string>

namespace tidegate {

// A progress line on stderr, redrawn a few times a second; nothing at all when stderr is no
// terminal. Thread: caller serialises.
class Progress {
 public:
  // `quiet`: never draw, e.g. because events are printed on the same terminal.
  explicit Progress(bool quiet = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `fraction` of the work that is done, below 0 when it is not known; `text` stands behind the
  // bar. `left_us` is the time that is left, below 0: worked out from the fraction.
  void show(double fraction, const std::string& text, std::int64_t left_us = -1);
  // Takes the line away, so that something else can be printed.
  void clear();
  bool is_shown() const { return enabled_; }

 private:
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point drawn_at_;
};

}  // namespace tidegate
