#include "eventstore/verify.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <xxhash.h>

#include <fmt/format.h>

#include "eventstore/base/string_map.h"
#include "eventstore/cursors.h"
#include "eventstore/keys.h"
#include "eventstore/record.h"
#include "eventstore/storage.h"
#include "eventstore/stream_index.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {
namespace {

constexpr std::size_t kProblemsMax = 100;
constexpr std::uint64_t kProgressEvery = 10'000;

// The index says the same as the log when both give the same multiset of (stream, revision,
// sequence): compared by count and by the sum of a hash of each, so that the order does not matter
// and memory does not grow.
struct Fingerprint {
  std::uint64_t count = 0;
  std::uint64_t sum = 0;

  void add(std::uint64_t stream_hash, Revision revision, Sequence sequence) {
    const std::uint64_t numbers[] = {stream_hash, revision, sequence};
    ++count;
    sum += XXH3_64bits(numbers, sizeof numbers);
  }
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

std::uint64_t hash_of(std::string_view stream) {
  return XXH3_64bits(stream.data(), stream.size());
}

Storage::Range kind_range(char kind) {
  return {.lower = std::string(1, kind), .upper = std::string(1, static_cast<char>(kind + 1))};
}

class Verifier {
 public:
  Verifier(const Storage& storage, const History& history, const Head& head)
      : storage_(storage), history_(history), head_(head) {}

  Result<VerifyReport> run(const std::function<bool(const VerifyProgress&)>& progress) {
    auto index = index_checkpoint();
    if (!index) return std::move(index).error();
    // Appending and trimming go on meanwhile, so all that is compared is held first, and the floor
    // read after it: whatever a trim has taken from these rows lies below it. The streams come
    // last, so that every run has one.
    const auto rows =
        storage_.iterate(Family::kLog, {.upper = log_key(head_.sequence + 1), .sequential = true});
    const auto runs = storage_.iterate(Family::kIndex, kind_range(kRunKind));
    const auto streams = storage_.iterate(Family::kIndex, kind_range(kStreamKind));
    floor_ = history_.floor();
    if (floor_.sequence > head_.sequence + 1) return report_;  // all of it was trimmed meanwhile
    auto log = read_log(*rows, progress);
    if (!log) return std::move(log).error();
    compare_index(*runs, *streams);
    compare_cursors();
    return report_;
  }

 private:
  void problem(std::string text) {
    ++report_.problem_count;
    if (report_.problems.size() < kProblemsMax) report_.problems.push_back(std::move(text));
  }

  Status index_checkpoint() {
    auto value = storage_.get(Family::kIndex, checkpoint_key());
    if (!value) return std::move(value).error();
    storage::v1::IndexCheckpoint checkpoint;
    if (value->has_value() && !checkpoint.ParseFromString(**value))
      problem("the index's checkpoint is damaged");
    indexed_ = std::min(checkpoint.indexed_sequence(), head_.sequence);
    return {};
  }

  Status read_log(StorageIterator& rows,
                  const std::function<bool(const VerifyProgress&)>& progress) {
    const std::uint64_t total = head_.sequence + 1 - floor_.sequence;
    expected_ = floor_.sequence;
    chain_ = floor_.chain_before;
    for (rows.seek(log_key(floor_.sequence)); rows.is_valid(); rows.next()) {
      check_row(rows.key(), rows.value());
      if (++report_.examined % kProgressEvery == 0 && progress &&
          !progress({report_.examined, total})) {
        return Error{Code::kUnavailable, "verification was stopped"};
      }
    }
    auto status = rows.status();
    if (!status) problem(fmt::format("after event {}: {}", expected_ - 1, status.error().message));
    if (expected_ != head_.sequence + 1) {
      problem(fmt::format("events {} to {} are missing at the end", expected_, head_.sequence));
    } else if (chain_ && *chain_ != head_.chain) {
      problem("the chain at the head is not the one that was acknowledged");
    }
    return {};
  }

  void check_row(std::string_view key, std::string_view value) {
    const Sequence sequence = key.size() == kLogKeyBytes ? read_big_endian(key) : 0;
    if (sequence != expected_) {
      problem(fmt::format("events {} to {} are missing", expected_, sequence - 1));
      chain_.reset();  // begins anew with the next event
    }
    expected_ = sequence + 1;
    auto record = decode_record(sequence, value);
    if (!record) {
      problem(record.error().message);
      chain_.reset();
      return;
    }
    if (chain_ && chain_after(*chain_, value) != record->chain) {
      problem(
          fmt::format("event {}: the chain does not follow from event {}", sequence, sequence - 1));
    }
    chain_ = record->chain;
    check_stream(*record);
  }

  void check_stream(const RecordView& record) {
    const auto known = last_revisions_.find(record.stream);
    if (known == last_revisions_.end()) {
      if (floor_.sequence == 1 && record.revision != 1) {
        problem(fmt::format("event {}: stream '{}' begins with revision {}", record.sequence,
                            record.stream, record.revision));
      }
      last_revisions_.emplace(record.stream, record.revision);
    } else {
      if (record.revision != known->second + 1) {
        problem(fmt::format("event {}: stream '{}' goes from revision {} to {}", record.sequence,
                            record.stream, known->second, record.revision));
      }
      known->second = record.revision;
    }
    if (record.sequence <= indexed_)
      of_log_.add(hash_of(record.stream), record.revision, record.sequence);
  }

  void compare_index(StorageIterator& runs, StorageIterator& streams) {
    std::unordered_map<std::uint64_t, std::uint64_t> stream_hashes;  // by number
    for (streams.seek_to_first(); streams.is_valid(); streams.next()) {
      auto entry = decode_stream_entry(streams.value());
      if (!entry) return problem(entry.error().message);
      stream_hashes.emplace(entry->number, hash_of(streams.key().substr(1)));
    }
    Fingerprint of_index;
    for (runs.seek_to_first(); runs.is_valid(); runs.next()) {
      auto run = decode_run(runs.value());
      const auto stream = stream_hashes.find(run_stream_number(runs.key()));
      if (!run || stream == stream_hashes.end()) return problem("the index has a damaged run");
      Revision revision = run->first_revision;
      for (const Sequence sequence : run->sequences) {
        if (sequence >= floor_.sequence && sequence <= indexed_)
          of_index.add(stream->second, revision, sequence);
        ++revision;
      }
    }
    if (!runs.status() || !streams.status()) return problem("the index cannot be read");
    if (of_index != of_log_) {
      problem(fmt::format(
          "the index up to event {} differs from the log ({} entries against {} events)", indexed_,
          of_index.count, of_log_.count));
    }
  }

  void compare_cursors() {
    const auto rows = storage_.iterate(Family::kCursors, {});
    for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
      auto cursor = decode_cursor(rows->value());
      const auto name = cursor_name(rows->key());
      if (!cursor) {
        problem(fmt::format("cursor '{}': {}", name, cursor.error().message));
        continue;
      }
      const auto shared = history_.shared_until(cursor->position.log);
      if (!shared) problem(fmt::format("cursor '{}' belongs to an unknown history", name));
      // The head may have moved since this run began; a cursor of the present history is then
      // beyond what was read.
      if (shared && *shared < cursor->position.sequence) {
        problem(fmt::format("cursor '{}' is at {}, beyond the fork of its history", name,
                            cursor->position.sequence));
      }
    }
    if (!rows->status()) problem("the cursors cannot be read");
  }

  const Storage& storage_;
  const History& history_;
  Floor floor_;
  const Head head_;
  Sequence indexed_ = 0;
  Sequence expected_ = 0;
  std::optional<Chain> chain_;
  StringMap<Revision> last_revisions_;
  Fingerprint of_log_;
  VerifyReport report_;
};

}  // namespace

Result<VerifyReport> verify_log(const Storage& storage, const History& history, const Head& head,
                                const std::function<bool(const VerifyProgress&)>& progress) {
  return Verifier(storage, history, head).run(progress);
}

}  // namespace tidegate
