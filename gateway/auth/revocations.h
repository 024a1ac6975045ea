#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "gateway/delivery/authority.h"

namespace tidegate {

inline constexpr std::size_t kRevocationsMax = 100'000;

// The list of revocations, kept in a file. Thread: any (internally synchronised). Times are wall
// time, seconds since 1970.
//
// The file is JSON Lines: {"revocations":N} and N lines, each {"jti":..} or {"subject":..}, the
// latter perhaps with "issued_before", all with "expires". The first line shows that none is
// missing: what was revoked must not come back because a file was cut. It is replaced as a whole.
class Revocations {
 public:
  // No file is an empty list. kDataLoss when the file is not exactly of the form above, with the
  // line; kNotFound never.
  static Result<std::unique_ptr<Revocations>> open(std::string path, std::int64_t now_s);

  // Adds all or, with an error, none: kBadArgument for an entry without a name or that has expired
  // already, kLimit when there would be more than kRevocationsMax, kInternal when the file cannot
  // be written. An entry that is there already keeps the later of its times. Expired ones are
  // dropped. They are on disk when it returns.
  Status add(const std::vector<Revocation>& revocations, std::int64_t now_s);

  // `jti` may be empty, and `issued_at_s` 0: the token does not say.
  bool is_revoked(std::string_view jti, std::string_view subject, std::int64_t issued_at_s,
                  std::int64_t now_s) const;

  // Changes with each addition. An I/O loop that sees another number than before looks at its
  // connections again; `is_revoked` then knows of the addition.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  std::size_t size() const;

 private:
  struct Before {
    std::int64_t issued_before_s = 0;
    std::int64_t expires_s = 0;
  };
  // Never changed once readers can see it.
  struct Entries {
    StringMap<std::int64_t> tokens;  // until when
    StringMap<std::int64_t> subjects;
    StringMap<Before> subjects_before;

    std::size_t size() const { return tokens.size() + subjects.size() + subjects_before.size(); }
    void add(const Revocation& revocation);
    void drop_expired(std::int64_t now_s);
    std::string to_text() const;
  };

  Revocations(std::string path, Entries entries);
  static Result<Entries> parse(std::string_view text);

  std::shared_ptr<const Entries> entries() const;

  const std::string path_;
  std::mutex adding_;  // one addition at a time; readers do not wait for it
  Guarded<std::shared_ptr<const Entries>> entries_;
  std::atomic<std::uint64_t> version_{1};  // released after entries_ has been replaced
};

}  // namespace tidegate
