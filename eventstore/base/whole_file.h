#pragma once

#include <string>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// Thread: any (pure functions but for the file).

struct WholeFile {
  std::string bytes;
  unsigned mode = 0;  // permission bits, of the moment when it was read
};

// Reads a regular file of at most `bytes_max` bytes. kNotFound, kLimit, or kInternal when it cannot
// be read; the message names the file.
Result<WholeFile> read_whole_file(const std::string& path, std::size_t bytes_max);

// kBadArgument when others than its owner may use a file that holds a secret.
Status check_private(const std::string& path, unsigned mode);

// Atomically: the file is the old one or has these bytes, also after a power loss. A new file gets
// the permissions `mode`. `path`.new is used meanwhile, so one writer at a time. After an error,
// kInternal, the old file stays; only when its folder could not be synced may it be the new one.
Status replace_file(const std::string& path, std::string_view bytes, unsigned mode);

}  // namespace tidegate
