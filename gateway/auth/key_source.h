#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "gateway/auth/algorithm.h"
#include "gateway/auth/key_set.h"

namespace tidegate {

// Where the keys of one issuer come from, and what they are now: a file, read when it is made and
// by `reload`, or an https:// address, fetched every few minutes by a thread of its own.
// Thread: any (internally synchronised).
class KeySource {
 public:
  struct Health {
    bool has_keys = false;
    std::uint64_t failures = 0;  // to read or fetch them, since the start
    std::string last_error;      // empty when the last attempt was good
  };

  virtual ~KeySource() = default;

  // The keys of the last good attempt. Null while there has been none, or when it is so long ago
  // (kKeyAgeMax_ms) that a key which was withdrawn since must not count any more. Cheap.
  virtual std::shared_ptr<const KeySet> keys() const = 0;

  // A token names a key that is not there. True when newer keys are being fetched that may have it,
  // so that it is worth trying again in a moment.
  virtual bool on_unknown_key() = 0;

  // Reads a file again, and keeps the old keys when that fails; the error says why. An address is
  // only asked again soon: always ok.
  virtual Status reload() = 0;

  // Waits for the end of the first attempt: false when the time was over before. For a start that
  // would rather not refuse its first clients.
  virtual bool wait_for_keys(std::chrono::milliseconds time) = 0;

  virtual Health health() const = 0;
};

// Keys that were fetched longer ago count no more, whatever the reason: 24 h.
inline constexpr std::int64_t kKeyAgeMax_ms = std::int64_t{24} * 3600 * 1000;

struct KeySourceConfig {
  std::string keys;  // path of a file (key_file.h), or an https:// address of a JSON Web Key Set
  std::string ca_file = {};             // of the address; empty: what the system trusts
  std::vector<Algorithm> allowed = {};  // decides the algorithm of a PEM file
};

// A file must be readable and good now; an address need not answer. kBadArgument, kNotFound,
// kInternal. `clock` must outlive the source.
Result<std::unique_ptr<KeySource>> open_key_source(const KeySourceConfig& config,
                                                   const Clock& clock);

}  // namespace tidegate
