#include "gateway/ops/memory_guard.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <pthread.h>
#include <string>
#include <unistd.h>

#include "eventstore/base/log.h"

namespace tidegate {
namespace {

constexpr std::chrono::milliseconds kLookEvery{200};

std::uint64_t page_bytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// Percent of the ceiling from which it is as high; and what it must fall below to go back.
std::uint64_t rises_at(Pressure level) {
  return level == Pressure::kCritical ? 95 : 85;
}
constexpr std::uint64_t kFallsBelow = 5;

const char* name_of(Pressure level) {
  switch (level) {
    case Pressure::kNone:
      return "none";
    case Pressure::kHigh:
      return "high: no new replays";
    case Pressure::kCritical:
      return "critical: no new replays and connections";
  }
  return "unknown";
}

}  // namespace

std::uint64_t memory_of_machine() {
  const std::uint64_t machine = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * page_bytes();
  // Of version 2, where a process sees its own group at the root. "max" is no number.
  std::ifstream file("/sys/fs/cgroup/memory.max");
  std::uint64_t group = 0;
  return file >> group ? std::min(group, machine) : machine;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  file >> all >> resident;
  return resident * page_bytes();
}

Pressure MemoryGuard::level(std::uint64_t bytes, std::uint64_t ceiling_bytes, Pressure before) {
  const std::uint64_t percent = bytes / std::max<std::uint64_t>(ceiling_bytes / 100, 1);
  for (const Pressure level : {Pressure::kCritical, Pressure::kHigh}) {
    const std::uint64_t held = before >= level ? kFallsBelow : 0;
    if (percent >= rises_at(level) - held) return level;
  }
  return Pressure::kNone;
}

MemoryGuard::MemoryGuard(std::uint64_t ceiling_bytes, PressureGauge& gauge)
    : ceiling_bytes_(ceiling_bytes), gauge_(gauge), thread_([this] { run(); }) {}

MemoryGuard::~MemoryGuard() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MemoryGuard::run() {
  pthread_setname_np(pthread_self(), "memory");
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    const std::uint64_t bytes = resident_bytes();
    const Pressure before = gauge_.level();
    const Pressure now = level(bytes, ceiling_bytes_, before);
    if (now != before) {
      gauge_.set(now);
      log(now > before ? LogLevel::kWarn : LogLevel::kInfo, "memory pressure has changed",
          {{"level", name_of(now)}, {"resident_bytes", bytes}, {"ceiling_bytes", ceiling_bytes_}});
    }
    changed_.wait_for(lock, kLookEvery);
  }
}

}  // namespace tidegate
