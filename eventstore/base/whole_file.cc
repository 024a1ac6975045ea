#include "eventstore/base/whole_file.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace tidegate {
namespace {

Error cannot(std::string_view what, const std::string& path) {
  return {Code::kInternal,
          fmt::format("cannot {} '{}': {}", what, path, std::generic_category().message(errno))};
}

// Closes when it goes. Thread: caller serialises.
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags, unsigned mode = 0)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  const int fd_;
};

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return cannot("write", path);
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return cannot("write", path);
  return {};
}

}  // namespace

Result<WholeFile> read_whole_file(const std::string& path, std::size_t bytes_max) {
  // Without O_NONBLOCK a pipe in place of the file would wait for its writer.
  const OpenFile file(path, O_RDONLY | O_NONBLOCK);
  if (!file.is_open()) {
    const bool absent = errno == ENOENT;
    Error error = cannot("read", path);
    if (absent) error.code = Code::kNotFound;
    return error;
  }
  struct stat status = {};
  if (fstat(file.fd(), &status) != 0) return cannot("read", path);
  if (!S_ISREG(status.st_mode)) {
    return Error{Code::kInternal, fmt::format("cannot read '{}': it is not a regular file", path)};
  }
  WholeFile whole;
  whole.mode = status.st_mode & 07777U;
  std::array<char, 16384> piece;
  while (true) {
    const ssize_t count = read(file.fd(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot("read", path);
    if (count == 0) return whole;
    whole.bytes.append(piece.data(), static_cast<std::size_t>(count));
    if (whole.bytes.size() > bytes_max) {
      return Error{Code::kLimit,
                   fmt::format("'{}' is larger than the {} bytes allowed", path, bytes_max)};
    }
  }
}

Status check_private(const std::string& path, unsigned mode) {
  constexpr unsigned kOthers = 077;
  if ((mode & kOthers) == 0) return {};
  return Error{Code::kBadArgument,
               fmt::format("'{}' holds a secret, but others may use it (mode {:04o}): chmod 600 it",
                           path, mode)};
}

Status replace_file(const std::string& path, std::string_view bytes, unsigned mode) {
  const std::string aside = path + ".new";
  // One that a crash has left behind may have other permissions.
  if (unlink(aside.c_str()) != 0 && errno != ENOENT) return cannot("write", aside);
  {
    const OpenFile file(aside, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (!file.is_open()) return cannot("write", aside);
    if (Status written = write_all(file.fd(), bytes, aside); !written) return written;
  }
  if (std::rename(aside.c_str(), path.c_str()) != 0) return cannot("write", path);
  // The name, too, has to survive a power loss.
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const OpenFile opened(folder, O_RDONLY | O_DIRECTORY);
  if (!opened.is_open()) return cannot("open", folder);
  if (fsync(opened.fd()) != 0) return cannot("write", folder);
  return {};
}

}  // namespace tidegate
