#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "gateway/delivery/audit.h"
#include "gateway/delivery/token_bucket.h"

namespace tidegate {

// The audit log: a JSON object a line, appended to a file that only its owner may read.
//
// Whoever makes entries on purpose cannot fill the disk quickly: beyond 100 a second (1,000 at
// once) they are counted, and the next line says how many are missing. Texts of peers are cut to
// 256 bytes and escaped, so that none forges a line or turns a reader's terminal.
// Thread: any (internally synchronised).
class AuditFile final : public Audit {
 public:
  // kInternal when the file cannot be opened. `clock` must outlive it.
  static Result<std::unique_ptr<AuditFile>> open(std::string path, const Clock& clock);
  ~AuditFile() override;

  void note(const AuditEntry& entry) override;
  // The file may have been moved away: begins a new one under the old name.
  Status reopen();

  // One line with its end. Thread: any (pure function).
  static std::string line(const AuditEntry& entry, std::int64_t wall_us, std::uint64_t missing);

 private:
  AuditFile(std::string path, int fd, const Clock& clock);

  const std::string path_;
  const Clock& clock_;
  std::mutex mutex_;
  // All under mutex_.
  int fd_;
  TokenBucket tokens_;
  std::uint64_t missing_ = 0;
};

}  // namespace tidegate
