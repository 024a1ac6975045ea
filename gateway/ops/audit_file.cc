#include "gateway/ops/audit_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::uint32_t kPerSecond = 100;
constexpr std::uint32_t kAtOnce = 1000;
constexpr std::size_t kTextBytesMax = 256;

Result<int> open_file(const std::string& path) {
  constexpr int kOwnerOnly = 0600;
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, kOwnerOnly);
  if (fd >= 0) return fd;
  return Error{Code::kInternal,
               fmt::format("cannot open the audit log '{}': {}", path, std::strerror(errno))};
}

// ASCII only: what turns the direction of text, or looks like another letter, shows as its number.
void append_text(std::string& out, std::string_view name, std::string_view text) {
  if (text.empty()) return;
  std::string plain;
  for (const char c : text.substr(0, kTextBytesMax)) {
    const auto byte = static_cast<unsigned char>(c);
    byte < 0x80 ? plain += c : plain += fmt::format("\\x{:02x}", byte);
  }
  out += fmt::format(",\"{}\":", name);
  append_json_string(out, plain);
}

}  // namespace

std::string AuditFile::line(const AuditEntry& entry, std::int64_t wall_us, std::uint64_t missing) {
  std::string out = "{\"time\":";
  append_json_string(out, format_time(wall_us));
  append_text(out, "event", entry.event);
  append_text(out, "client", entry.client);
  append_text(out, "subject", entry.subject);
  append_text(out, "detail", entry.detail);
  if (missing > 0) out += fmt::format(",\"missing_before\":{}", missing);
  return out += "}\n";
}

Result<std::unique_ptr<AuditFile>> AuditFile::open(std::string path, const Clock& clock) {
  const Result<int> fd = open_file(path);
  if (!fd) return fd.error();
  return std::unique_ptr<AuditFile>(new AuditFile(std::move(path), *fd, clock));
}

AuditFile::AuditFile(std::string path, int fd, const Clock& clock)
    : path_(std::move(path)),
      clock_(clock),
      fd_(fd),
      tokens_(kPerSecond, kAtOnce, clock.steady_ms()) {}

AuditFile::~AuditFile() {
  ::close(fd_);
}

void AuditFile::note(const AuditEntry& entry) {
  const std::lock_guard lock(mutex_);
  if (!tokens_.take(clock_.steady_ms())) {
    ++missing_;
    return;
  }
  const std::string text = line(entry, clock_.wall_us(), missing_);
  // In one call, so that lines of two processes do not mix. A full disk loses lines, and says so.
  const ssize_t written = ::write(fd_, text.data(), text.size());
  missing_ = written == static_cast<ssize_t>(text.size()) ? 0 : missing_ + 1;
}

Status AuditFile::reopen() {
  const Result<int> fd = open_file(path_);
  if (!fd) return fd.error();
  const std::lock_guard lock(mutex_);
  ::close(fd_);
  fd_ = *fd;
  return {};
}

}  // namespace tidegate
