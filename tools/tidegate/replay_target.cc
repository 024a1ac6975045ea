#include "tools/tidegate/replay_target.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "tools/tidegate/client.h"
#include "tools/tidegate/event_lines.h"
#include "tools/tidegate/event_printer.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/pipeline.h"

namespace tidegate {
namespace {

constexpr std::size_t kBufferBytes = 64 << 10;

class OutputTarget final : public ReplayTarget {
 public:
  OutputTarget(Output& output, bool event_clock) : output_(output), printer_(output, event_clock) {}

  Status put(v1::RecordedEvent record) override {
    printer_.print(record);
    pending_.sequence = record.sequence();
    ++pending_.events;
    return output_.buffer().size() >= kBufferBytes ? flush() : Status();
  }
  Status flush() override {
    if (!output_.flush()) {
      const Result<int> stopped = output_.stopped();
      return stopped ? Error{Code::kInternal, "standard output was closed"} : stopped.error();
    }
    confirmed_ = pending_;
    return {};
  }
  Status finish() override {
    printer_.finish();
    return flush();
  }

 private:
  Output& output_;
  EventPrinter printer_;
  Confirmed pending_;
};

class FileTarget final : public ReplayTarget {
 public:
  FileTarget(std::string path, int fd, std::uint64_t bytes) : path_(std::move(path)), fd_(fd) {
    confirmed_.file_bytes = bytes;
    pending_ = confirmed_;
  }
  ~FileTarget() override { close(fd_); }

  Status put(v1::RecordedEvent record) override {
    const std::size_t before = buffer_.size();
    append_event_line(buffer_, record);
    buffer_ += '\n';
    pending_.file_bytes += buffer_.size() - before;
    pending_.sequence = record.sequence();
    ++pending_.events;
    return buffer_.size() >= kBufferBytes ? flush() : Status();
  }
  Status flush() override {
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t written = write(fd_, rest.data(), rest.size());
      if (written < 0 && errno != EINTR) return cannot("write", path_ + ".partial");
      if (written > 0) rest.remove_prefix(static_cast<std::size_t>(written));
    }
    buffer_.clear();
    confirmed_ = pending_;
    return {};
  }
  Status finish() override {
    if (Status flushed = flush(); !flushed) return flushed;
    const std::string partial = path_ + ".partial";
    if (fsync(fd_) != 0) return cannot("write", partial);
    if (std::rename(partial.c_str(), path_.c_str()) != 0) return cannot("rename", partial);
    return {};
  }

  static Error cannot(std::string_view what, const std::string& path) {
    return {Code::kInternal, fmt::format("cannot {} '{}': {}", what, path, std::strerror(errno))};
  }

 private:
  std::string path_;
  int fd_;
  std::string buffer_;
  Confirmed pending_;
};

class GatewayTarget final : public ReplayTarget {
 public:
  GatewayTarget(Client& client, Interrupt& interrupt)
      : pipeline_(client, interrupt,
                  [this](const PipelineBatch& batch, const Result<v1::PublishResponse>& result) {
                    answered(batch, result);
                  }) {}

  Status put(v1::RecordedEvent record) override {
    batch_.add(std::move(*record.mutable_stream()), std::move(*record.mutable_event()),
               record.sequence());
    return batch_.is_full() ? send() : Status();
  }
  Status flush() override {
    if (!batch_.tags.empty()) {
      if (Status sent = send(); !sent) return sent;
    }
    if (Status drained = pipeline_.drain(); !drained) return drained;
    if (refused_) return *refused_;
    return {};
  }
  Status finish() override { return flush(); }

 private:
  Status send() {
    if (Status sent = pipeline_.send(std::exchange(batch_, {})); !sent) return sent;
    if (refused_) return *refused_;
    return {};
  }
  void answered(const PipelineBatch& batch, const Result<v1::PublishResponse>& result) {
    // What comes after a refused batch is not counted: going on from the state begins with the
    // refused one.
    if (refused_) return;
    if (!result) {
      refused_ = result.error();
      refused_->message = fmt::format("the target refused events {} to {}: {}", batch.tags.front(),
                                      batch.tags.back(), refused_->message);
      return;
    }
    confirmed_.sequence = batch.tags.back();
    confirmed_.events += batch.tags.size();
    for (const v1::PublishedEvent& event : result->events())
      confirmed_.deduplicated += event.deduplicated() ? 1U : 0U;
  }

  PipelineBatch batch_;
  std::optional<Error> refused_;
  Pipeline pipeline_;
};

}  // namespace

std::unique_ptr<ReplayTarget> make_output_target(Output& output, bool event_clock) {
  return std::make_unique<OutputTarget>(output, event_clock);
}

Result<std::unique_ptr<ReplayTarget>> make_file_target(const std::string& path,
                                                       std::uint64_t bytes) {
  if (access(path.c_str(), F_OK) == 0) {
    return Error{Code::kCheckFailed,
                 fmt::format("'{}' exists already: remove it or choose another name", path)};
  }
  const std::string partial = path + ".partial";
  const int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return FileTarget::cannot("write", partial);
  const off_t size = lseek(fd, 0, SEEK_END);
  const bool kept = size >= 0 && static_cast<std::uint64_t>(size) >= bytes;
  if (!kept || ftruncate(fd, static_cast<off_t>(bytes)) != 0 || lseek(fd, 0, SEEK_END) < 0) {
    close(fd);
    return Error{Code::kCheckFailed, fmt::format("'{}' does not have the {} bytes that the state "
                                                 "says it has: remove both files and begin "
                                                 "anew",
                                                 partial, bytes)};
  }
  return std::unique_ptr<ReplayTarget>(std::make_unique<FileTarget>(path, fd, bytes));
}

std::unique_ptr<ReplayTarget> make_gateway_target(Client& client, Interrupt& interrupt) {
  return std::make_unique<GatewayTarget>(client, interrupt);
}

}  // namespace tidegate
