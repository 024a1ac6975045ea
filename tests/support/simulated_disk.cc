#include "tests/support/simulated_disk.h"

#include <algorithm>

namespace tidegate::test {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

struct Write {
  enum class Kind { kAppend, kInPlace, kTruncate };
  Kind kind;
  std::uint64_t offset = 0;  // of kTruncate: the new size
  std::string bytes;
};

void put(std::string& data, std::uint64_t offset, std::string_view bytes) {
  if (data.size() < offset + bytes.size()) data.resize(offset + bytes.size(), '\0');
  data.replace(offset, bytes.size(), bytes);
}

void apply_write(std::string& data, const Write& write) {
  if (write.kind == Write::Kind::kTruncate) {
    data.resize(write.offset, '\0');
  } else {
    put(data, write.offset, write.bytes);
  }
}

}  // namespace

struct SimulatedDisk::Node {
  bool directory = false;
  // Of a file.
  std::string data;
  std::string durable;
  std::vector<Write> unsynced;
  // Of a directory.
  std::map<std::string, NodeRef> entries;
  std::map<std::string, NodeRef> durable_entries;
};

SimulatedDisk::SimulatedDisk(std::uint64_t seed) : random_(seed), root_(std::make_shared<Node>()) {
  root_->directory = true;
}

SimulatedDisk::~SimulatedDisk() = default;

void SimulatedDisk::cut(Cut kind) {
  const std::lock_guard lock(mutex_);
  if (!off_) end_run(kind);
}

void SimulatedDisk::cut_at(std::uint64_t operation, Cut kind) {
  const std::lock_guard lock(mutex_);
  cut_at_ = operation;
  cut_kind_ = kind;
}

void SimulatedDisk::restart() {
  const std::lock_guard lock(mutex_);
  if (!off_) end_run(Cut::kProcess);
  off_ = false;
  ++run_;
  operations_ = syncs_ = cut_at_ = fail_sync_in_ = 0;
}

bool SimulatedDisk::is_off() const {
  const std::lock_guard lock(mutex_);
  return off_;
}

std::uint64_t SimulatedDisk::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t SimulatedDisk::syncs() const {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

void SimulatedDisk::fail_sync(std::uint64_t nth, std::string part) {
  const std::lock_guard lock(mutex_);
  fail_sync_in_ = nth;
  fail_sync_part_ = std::move(part);
}

std::map<std::string, std::string> SimulatedDisk::files() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::string> out;
  collect(root_, "", out);
  return out;
}

void SimulatedDisk::collect(const NodeRef& dir, const std::string& path,
                            std::map<std::string, std::string>& out) const {
  for (const auto& [name, node] : dir->entries) {
    const std::string child = path + "/" + name;
    if (node->directory) {
      collect(node, child, out);
    } else {
      out[child] = node->data;
    }
  }
}

std::uint64_t SimulatedDisk::run() const {
  const std::lock_guard lock(mutex_);
  return run_;
}

bool SimulatedDisk::begin_change(std::uint64_t run) {
  if (is_dead(run)) return false;
  if (++operations_ != cut_at_) return true;
  end_run(cut_kind_);
  return false;
}

void SimulatedDisk::end_run(Cut kind) {
  off_ = true;
  locks_.clear();
  if (kind == Cut::kPower) lose_unsynced();
}

// What a power cut leaves ------------------------------------------------------------------------

void SimulatedDisk::lose_unsynced() {
  lose_names();
  std::vector<const Node*> seen;
  lose_bytes(root_, seen);
}

void SimulatedDisk::lose_names() {
  // Half of the time nothing reached the disk by itself: the harshest case for a missing sync.
  const std::size_t kept = random_() % 2 == 0 ? 0 : random_() % (journal_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) {
    for (const NameChange& change : journal_[i]) {
      if (change.node) {
        change.dir->durable_entries[change.name] = change.node;
      } else {
        change.dir->durable_entries.erase(change.name);
      }
    }
  }
  journal_.clear();
}

void SimulatedDisk::lose_bytes(const NodeRef& node, std::vector<const Node*>& seen) {
  if (std::find(seen.begin(), seen.end(), node.get()) != seen.end()) return;
  seen.push_back(node.get());
  if (node->directory) {
    node->entries = node->durable_entries;
    for (const auto& [name, child] : node->entries) lose_bytes(child, seen);
    return;
  }
  const std::size_t size_before = node->data.size();
  const std::uint64_t versions = node->unsynced.size();
  const std::uint64_t kept = random_() % 2 == 0 ? 0 : random_() % (versions + 1);
  for (std::uint64_t i = 0; i < versions; ++i) {
    const Write& write = node->unsynced[i];
    if (write.kind == Write::Kind::kInPlace) {
      // Each sector as of a version of its own.
      for (std::uint64_t at = 0; at < write.bytes.size();) {
        const std::uint64_t left = kSectorBytes - (write.offset + at) % kSectorBytes;
        const std::string_view part = std::string_view(write.bytes).substr(at, left);
        if (random_() % (versions + 1) > i) put(node->durable, write.offset + at, part);
        at += part.size();
      }
    } else if (i < kept) {
      apply_write(node->durable, write);
    } else if (i == kept && write.kind == Write::Kind::kAppend && random_() % 2 == 0) {
      const std::uint64_t torn = random_() % (write.bytes.size() + 1);
      put(node->durable, write.offset, std::string_view(write.bytes).substr(0, torn));
    }
  }
  const bool only_appended =
      std::all_of(node->unsynced.begin(), node->unsynced.end(),
                  [](const Write& write) { return write.kind == Write::Kind::kAppend; });
  // The size may reach the disk before the bytes do.
  if (only_appended && random_() % 8 == 0 && node->durable.size() < size_before) {
    node->durable.resize(size_before, '\0');
  }
  node->unsynced.clear();
  node->data = node->durable;
}

// Names ------------------------------------------------------------------------------------------

SimulatedDisk::NodeRef SimulatedDisk::find(const std::string& path) const {
  NodeRef node = root_;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) {
      if (!node->directory) return nullptr;
      const auto it = node->entries.find(path.substr(begin, end - begin));
      if (it == node->entries.end()) return nullptr;
      node = it->second;
    }
    begin = end + 1;
  }
  return node;
}

std::pair<SimulatedDisk::NodeRef, std::string> SimulatedDisk::place(const std::string& path) const {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const std::size_t slash = trimmed.rfind('/');
  if (slash == std::string::npos) return {nullptr, ""};
  NodeRef dir = find(trimmed.substr(0, slash));
  if (dir && !dir->directory) dir = nullptr;
  return {dir, trimmed.substr(slash + 1)};
}

void SimulatedDisk::apply(NameChanges changes) {
  for (const NameChange& change : changes) {
    if (change.node) {
      change.dir->entries[change.name] = change.node;
    } else {
      change.dir->entries.erase(change.name);
    }
  }
  journal_.push_back(std::move(changes));
}

SimulatedDisk::Outcome SimulatedDisk::open(std::uint64_t run, const std::string& path,
                                           NodeRef& node) const {
  const std::lock_guard lock(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  node = find(path);
  return node ? Outcome::kOk : Outcome::kNotFound;
}

SimulatedDisk::Outcome SimulatedDisk::create(std::uint64_t run, const std::string& path,
                                             bool truncate, NodeRef& node) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  const auto [dir, name] = place(path);
  if (!dir) return Outcome::kNotFound;
  node = find(path);
  if (!node) {
    node = std::make_shared<Node>();
    apply({{dir, name, node}});
  } else if (truncate && !node->data.empty()) {
    node->data.clear();
    node->unsynced.push_back({Write::Kind::kTruncate, 0, {}});
  }
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::make_dir(std::uint64_t run, const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  if (find(path)) return Outcome::kExists;
  const auto [dir, name] = place(path);
  if (!dir) return Outcome::kNotFound;
  auto node = std::make_shared<Node>();
  node->directory = true;
  apply({{dir, name, node}});
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::remove(std::uint64_t run, const std::string& path,
                                             bool directory) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  const NodeRef node = find(path);
  if (!node || node == root_) return Outcome::kNotFound;
  if (node->directory != directory) return Outcome::kNotADirectory;
  if (!node->entries.empty()) return Outcome::kNotEmpty;
  const auto [dir, name] = place(path);
  apply({{dir, name, nullptr}});
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::rename(std::uint64_t run, const std::string& from,
                                             const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  const NodeRef node = find(from);
  const auto [from_dir, from_name] = place(from);
  const auto [to_dir, to_name] = place(to);
  if (!node || !to_dir) return Outcome::kNotFound;
  if (const NodeRef old = find(to); old && old->directory && !old->entries.empty()) {
    return Outcome::kNotEmpty;
  }
  if (from_dir == to_dir && from_name == to_name) return Outcome::kOk;
  apply({{from_dir, from_name, nullptr}, {to_dir, to_name, node}});
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::link(std::uint64_t run, const std::string& from,
                                           const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  const NodeRef node = find(from);
  const auto [dir, name] = place(to);
  if (!node || !dir) return Outcome::kNotFound;
  if (find(to)) return Outcome::kExists;
  apply({{dir, name, node}});
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::list(std::uint64_t run, const std::string& path,
                                           std::vector<std::string>& names) const {
  const std::lock_guard lock(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  const NodeRef node = find(path);
  if (!node) return Outcome::kNotFound;
  if (!node->directory) return Outcome::kNotADirectory;
  for (const auto& [name, child] : node->entries) names.push_back(name);
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::sync_dir(std::uint64_t run, const NodeRef& node) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  // From the newest to the oldest change: what touches a directory that is being committed is
  // committed with it, and so are the other directories of such a change.
  std::vector<NodeRef> dirs = {node};
  std::vector<bool> commit(journal_.size(), false);
  for (std::size_t i = journal_.size(); i-- > 0;) {
    commit[i] = std::any_of(journal_[i].begin(), journal_[i].end(), [&](const NameChange& change) {
      return std::find(dirs.begin(), dirs.end(), change.dir) != dirs.end();
    });
    if (!commit[i]) continue;
    for (const NameChange& change : journal_[i]) dirs.push_back(change.dir);
  }
  std::vector<NameChanges> left;
  for (std::size_t i = 0; i < journal_.size(); ++i) {
    if (!commit[i]) {
      left.push_back(std::move(journal_[i]));
      continue;
    }
    for (const NameChange& change : journal_[i]) {
      if (change.node) {
        change.dir->durable_entries[change.name] = change.node;
      } else {
        change.dir->durable_entries.erase(change.name);
      }
    }
  }
  journal_ = std::move(left);
  return Outcome::kOk;
}

bool SimulatedDisk::is_directory(const NodeRef& node) {
  return node->directory;
}

// Bytes ------------------------------------------------------------------------------------------

SimulatedDisk::Outcome SimulatedDisk::append(std::uint64_t run, const NodeRef& node,
                                             std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  // Before the run may end, so that it can end in the middle of this write.
  node->unsynced.push_back({Write::Kind::kAppend, node->data.size(), std::string(bytes)});
  node->data.append(bytes);
  return begin_change(run) ? Outcome::kOk : Outcome::kMachineIsOff;
}

SimulatedDisk::Outcome SimulatedDisk::write(std::uint64_t run, const NodeRef& node,
                                            std::uint64_t offset, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  node->unsynced.push_back({Write::Kind::kInPlace, offset, std::string(bytes)});
  put(node->data, offset, bytes);
  return begin_change(run) ? Outcome::kOk : Outcome::kMachineIsOff;
}

SimulatedDisk::Outcome SimulatedDisk::truncate(std::uint64_t run, const NodeRef& node,
                                               std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  node->unsynced.push_back({Write::Kind::kTruncate, size, {}});
  node->data.resize(size, '\0');
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::sync(std::uint64_t run, const std::string& path,
                                           const NodeRef& node) {
  const std::lock_guard lock(mutex_);
  if (!begin_change(run)) return Outcome::kMachineIsOff;
  ++syncs_;
  if (fail_sync_in_ > 0 && path.find(fail_sync_part_) != std::string::npos &&
      --fail_sync_in_ == 0) {
    node->unsynced.clear();
    return Outcome::kSyncFailed;
  }
  for (const Write& write : node->unsynced) apply_write(node->durable, write);
  node->unsynced.clear();
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::read(std::uint64_t run, const NodeRef& node,
                                           std::uint64_t offset, std::size_t size, char* out,
                                           std::size_t& got) const {
  const std::lock_guard lock(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  got = offset < node->data.size() ? node->data.copy(out, size, offset) : 0;
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::size(std::uint64_t run, const NodeRef& node,
                                           std::uint64_t& bytes) const {
  const std::lock_guard lock(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  bytes = node->data.size();
  return Outcome::kOk;
}

SimulatedDisk::Outcome SimulatedDisk::lock(std::uint64_t run, const std::string& path) {
  const std::lock_guard guard(mutex_);
  if (is_dead(run)) return Outcome::kMachineIsOff;
  if (std::find(locks_.begin(), locks_.end(), path) != locks_.end()) return Outcome::kLocked;
  locks_.push_back(path);
  return Outcome::kOk;
}

void SimulatedDisk::unlock(std::uint64_t run, const std::string& path) {
  const std::lock_guard guard(mutex_);
  if (!is_dead(run)) std::erase(locks_, path);
}

}  // namespace tidegate::test
