#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidegate::test {

// A directory tree in memory that remembers, beside what programs see, what would be left after a
// power cut: file bytes survive once their file was synced, names once their directory was.
//
// What was not synced survives wholly, in part or not at all, as the seed decides:
// - appended bytes: a prefix, sometimes followed by zeros up to the old size;
// - bytes written in place: each 512-byte sector as one of the versions since the last sync;
// - created, renamed, linked and removed names: a prefix of these changes.
//
// Thread: any (internally synchronised).
class SimulatedDisk {
 public:
  enum class Outcome {
    kOk,
    kMachineIsOff,
    kNotFound,
    kExists,
    kNotADirectory,
    kNotEmpty,
    kSyncFailed,
    kLocked
  };
  enum class Cut {
    kPower,   // everything unsynced is at risk
    kProcess  // the process is gone, the system and its page cache live on
  };

  struct Node;
  using NodeRef = std::shared_ptr<Node>;

  explicit SimulatedDisk(std::uint64_t seed);
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  // --- for tests ---
  // Ends the run now: every operation of programs that were started before fails from here on.
  void cut(Cut kind);
  // Ends the run instead of its `operation`-th change (counted from the last restart, from 1).
  void cut_at(std::uint64_t operation, Cut kind);
  // Starts the machine on what survived. Programs started before stay dead.
  void restart();
  bool is_off() const;
  // Changes since the last restart: writes, syncs, creations, renames, links, removals.
  std::uint64_t operations() const;
  // Syncs of files since the last restart.
  std::uint64_t syncs() const;
  // The `nth` sync from now (from 1) of a file whose path contains `part` fails. As on Linux, what
  // it should have written is then neither durable nor written by a later sync.
  void fail_sync(std::uint64_t nth, std::string part);
  // Path and bytes of every file as programs see them.
  std::map<std::string, std::string> files() const;

  // --- for the file system adapter; `run` is what the adapter was made in ---
  std::uint64_t run() const;
  Outcome open(std::uint64_t run, const std::string& path, NodeRef& node) const;
  // Creates the file, or empties the one that exists when `truncate`.
  Outcome create(std::uint64_t run, const std::string& path, bool truncate, NodeRef& node);
  Outcome make_dir(std::uint64_t run, const std::string& path);
  Outcome remove(std::uint64_t run, const std::string& path, bool directory);
  Outcome rename(std::uint64_t run, const std::string& from, const std::string& to);
  Outcome link(std::uint64_t run, const std::string& from, const std::string& to);
  Outcome list(std::uint64_t run, const std::string& path, std::vector<std::string>& names) const;
  Outcome append(std::uint64_t run, const NodeRef& node, std::string_view bytes);
  Outcome write(std::uint64_t run, const NodeRef& node, std::uint64_t offset,
                std::string_view bytes);
  Outcome truncate(std::uint64_t run, const NodeRef& node, std::uint64_t size);
  Outcome sync(std::uint64_t run, const std::string& path, const NodeRef& node);
  Outcome sync_dir(std::uint64_t run, const NodeRef& node);
  // At most `size` bytes, copied to `out`.
  Outcome read(std::uint64_t run, const NodeRef& node, std::uint64_t offset, std::size_t size,
               char* out, std::size_t& got) const;
  Outcome size(std::uint64_t run, const NodeRef& node, std::uint64_t& bytes) const;
  static bool is_directory(const NodeRef& node);
  Outcome lock(std::uint64_t run, const std::string& path);
  void unlock(std::uint64_t run, const std::string& path);

 private:
  struct NameChange {
    NodeRef dir;
    std::string name;
    NodeRef node;  // null: the name is removed
  };
  using NameChanges = std::vector<NameChange>;  // of one operation: all or none

  bool is_dead(std::uint64_t run) const { return off_ || run != run_; }
  // Counts a change; false when the run ends before it.
  bool begin_change(std::uint64_t run);
  void end_run(Cut kind);
  void lose_unsynced();
  void lose_names();
  void lose_bytes(const NodeRef& node, std::vector<const Node*>& seen);
  void apply(NameChanges changes);
  NodeRef find(const std::string& path) const;
  // The directory of `path` and its last part; null when there is none.
  std::pair<NodeRef, std::string> place(const std::string& path) const;
  void collect(const NodeRef& dir, const std::string& path,
               std::map<std::string, std::string>& out) const;

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  NodeRef root_;
  std::vector<NameChanges> journal_;  // not yet durable, oldest first
  std::vector<std::string> locks_;
  std::uint64_t run_ = 1;
  bool off_ = false;
  std::uint64_t operations_ = 0;
  std::uint64_t syncs_ = 0;
  std::uint64_t cut_at_ = 0;
  Cut cut_kind_ = Cut::kPower;
  std::uint64_t fail_sync_in_ = 0;
  std::string fail_sync_part_;
};

}  // namespace tidegate::test
