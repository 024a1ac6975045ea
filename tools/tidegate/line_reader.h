#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "tools/tidegate/interrupt.h"

namespace tidegate {

// Lines of a file or of standard input, in bounded memory.
// Thread: caller serialises.
class LineReader {
 public:
  // "-" is standard input. kBadArgument when the file cannot be opened.
  static Result<LineReader> open(const std::string& path, Interrupt& interrupt);
  LineReader(LineReader&& other) noexcept;
  ~LineReader();

  // The next line without its end, valid until the next call; nothing at the end or after Ctrl-C. A
  // line of more than 8 MiB (an event of 1 MiB with every byte escaped fits) is an error, as is
  // what the system says.
  Result<std::optional<std::string_view>> next();
  // From 1; of the line that `next` returned last.
  std::uint64_t number() const { return number_; }
  // Bytes returned so far, and of the whole file; 0: not known.
  std::uint64_t bytes_read() const { return consumed_; }
  std::uint64_t bytes_total() const { return total_; }

 private:
  LineReader(int fd, std::uint64_t total, Interrupt& interrupt)
      : fd_(fd), total_(total), interrupt_(interrupt) {}
  Result<bool> fill();

  int fd_;
  std::uint64_t total_;
  Interrupt& interrupt_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::uint64_t number_ = 0;
  std::uint64_t consumed_ = 0;
  bool ended_ = false;
};

}  // namespace tidegate
