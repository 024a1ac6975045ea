#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "gateway/delivery/pressure.h"

namespace tidegate {

// The memory that this process may use: of its control group where that has a limit, else of the
// machine.
std::uint64_t memory_of_machine();
// What it uses now, as the system counts it (RSS).
std::uint64_t resident_bytes();

// Looks five times a second how much memory the process uses and sets the pressure: high from 85%
// of the ceiling, critical from 95%; back when it is 5% of the ceiling below that. Changes are
// logged. Thread: caller serialises.
class MemoryGuard {
 public:
  // `gauge` must outlive it.
  MemoryGuard(std::uint64_t ceiling_bytes, PressureGauge& gauge);
  ~MemoryGuard();
  MemoryGuard(const MemoryGuard&) = delete;
  MemoryGuard& operator=(const MemoryGuard&) = delete;

  // What the level is with so many bytes in use, when it was `before`. Thread: any (pure function).
  static Pressure level(std::uint64_t bytes, std::uint64_t ceiling_bytes, Pressure before);

 private:
  void run();

  const std::uint64_t ceiling_bytes_;
  PressureGauge& gauge_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_ending_ = false;  // under mutex_
  std::thread thread_;
};

}  // namespace tidegate
