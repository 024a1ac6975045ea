#include "tools/tidegate/line_reader.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace tidegate {
namespace {

constexpr std::size_t kLineBytesMax = 8 << 20;
constexpr std::size_t kReadBytes = 256 << 10;

}  // namespace

Result<LineReader> LineReader::open(const std::string& path, Interrupt& interrupt) {
  const int fd = path == "-" ? dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (fd < 0 || fstat(fd, &about) != 0) {
    return Error{Code::kBadArgument,
                 fmt::format("cannot open '{}': {}", path, std::strerror(errno))};
  }
  const bool sized = S_ISREG(about.st_mode);
  return LineReader(fd, sized ? static_cast<std::uint64_t>(about.st_size) : 0, interrupt);
}

LineReader::LineReader(LineReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      total_(other.total_),
      interrupt_(other.interrupt_),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      number_(other.number_),
      consumed_(other.consumed_),
      ended_(other.ended_) {}

LineReader::~LineReader() {
  if (fd_ >= 0) close(fd_);
}

// False at the end of the input or after Ctrl-C.
Result<bool> LineReader::fill() {
  pollfd waits[] = {{fd_, POLLIN, 0}, {interrupt_.fd(), POLLIN, 0}};
  while (poll(waits, 2, -1) < 0 && errno == EINTR) {
  }
  if (waits[1].revents != 0) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kReadBytes);
  const ssize_t count = read(fd_, buffer_.data() + kept, kReadBytes);
  buffer_.resize(kept + (count > 0 ? static_cast<std::size_t>(count) : 0));
  if (count < 0)
    return Error{Code::kBadArgument, fmt::format("cannot read: {}", std::strerror(errno))};
  return count > 0;
}

Result<std::optional<std::string_view>> LineReader::next() {
  std::size_t searched = begin_;
  while (true) {
    const std::size_t end = buffer_.find('\n', searched);
    const bool last = end == std::string::npos && ended_;
    if (last && begin_ == buffer_.size()) return std::optional<std::string_view>();
    if (end != std::string::npos || last) {
      std::string_view line =
          std::string_view(buffer_).substr(begin_, last ? std::string::npos : end - begin_);
      consumed_ += line.size() + 1;
      begin_ += line.size() + (last ? 0 : 1);
      ++number_;
      if (line.ends_with('\r')) line.remove_suffix(1);
      return std::optional(line);
    }
    if (buffer_.size() - begin_ > kLineBytesMax) {
      return Error{Code::kBadEvent,
                   fmt::format("line {} has more than {} bytes", number_ + 1, kLineBytesMax)};
    }
    const std::size_t unread = buffer_.size() - begin_;
    Result<bool> more = fill();
    if (!more) return more.error();
    searched = begin_ + unread;
    if (*more) continue;
    // After Ctrl-C half a line must not be taken for a whole one.
    if (interrupt_.happened()) return std::optional<std::string_view>();
    ended_ = true;
  }
}

}  // namespace tidegate
