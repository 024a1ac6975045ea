#pragma once

#include <memory>
#include <string>

namespace tidegate::bench {

// A file without a name that only grows. Thread: caller serialises.
class SyncedFile {
 public:
  // In this directory; nothing, and a message on stderr, when none can be made there.
  static std::unique_ptr<SyncedFile> make(const std::string& directory);
  ~SyncedFile();
  SyncedFile(const SyncedFile&) = delete;
  SyncedFile& operator=(const SyncedFile&) = delete;

  // Appends and waits until it is on disk. False, with a message, when that fails.
  bool append(const std::string& bytes);

 private:
  explicit SyncedFile(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace tidegate::bench
