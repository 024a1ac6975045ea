#include "eventstore/log_directory.h"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <rocksdb/file_system.h>

#include "eventstore/base/guarded.h"
#include "eventstore/base/log.h"
#include "eventstore/base/text.h"
#include "eventstore/history.h"
#include "eventstore/storage.h"
#include "eventstore/write_ahead_log.h"

namespace tidegate {
namespace {

constexpr std::string_view kFormatName = "tidegate-log";
constexpr std::uint64_t kFormatMajor = 1;
constexpr std::string_view kFormatText = "tidegate-log 1.0\n";

// What may lie in a directory without making it somebody else's.
const std::set<std::string> kHarmless = {".", "..", "LOCK", "ballast", "lost+found"};

OpenError open_error(int exit_code, Code code, std::string message) {
  return {{code, std::move(message)}, exit_code};
}

OpenError io_error(const char* doing, const std::string& path, const rocksdb::IOStatus& status) {
  const int exit_code = status.IsNoSpace() ? kExitCannotCreate : kExitIo;
  return open_error(exit_code, Code::kUnavailable,
                    fmt::format("cannot {} {}: {}", doing, path, status.ToString()));
}

// A file, whatever the path to it.
using FileId = std::pair<dev_t, ino_t>;
std::optional<FileId> file_id_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileId{info.st_dev, info.st_ino};
}

// The lock files that this process holds. POSIX locks neither keep it from locking one again nor
// outlast the closing of any other handle of the file, so it must not even look at those.
Guarded<std::set<FileId>>& held_locks() {
  static Guarded<std::set<FileId>> held;
  return held;
}

// The process that holds a POSIX lock, or 0. Never for a file that this one holds.
pid_t lock_holder(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return 0;
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  const bool asked = ::fcntl(file, F_GETLK, &request) == 0;
  ::close(file);
  return asked && request.l_type != F_UNLCK ? request.l_pid : 0;
}

}  // namespace

std::shared_ptr<rocksdb::FileSystem> file_system_of(const StoreOptions& options) {
  return options.file_system ? options.file_system : rocksdb::FileSystem::Default();
}

std::uint64_t free_bytes_of(const StoreOptions& options) {
  if (options.free_bytes) return options.free_bytes(options.dir);
  std::uint64_t free = 0;
  // A file system that cannot tell is taken for an ample one: the watermarks are then of no use.
  if (!file_system_of(options)->GetFreeSpace(options.dir, {}, &free, nullptr).ok())
    return UINT64_MAX / 4;
  return free;
}

struct LogDirectory::Impl {
  StoreOptions options;
  std::shared_ptr<rocksdb::FileSystem> fs;
  rocksdb::FileLock* lock = nullptr;
  std::optional<FileId> lock_file;  // none on a file system that is not the real one

  std::string path(const std::string& name) const { return options.dir + "/" + name; }
  bool exists(const std::string& name) const {
    return fs->FileExists(path(name), {}, nullptr).ok();
  }

  // Takes the lock, unless this process holds it: true then.
  bool lock_or_own(std::set<FileId>& held, rocksdb::IOStatus& locked) {
    const std::string lock_path = path("LOCK");
    lock_file = file_id_of(lock_path);
    if (lock_file && held.contains(*lock_file)) return true;
    locked = fs->LockFile(lock_path, {}, &lock, nullptr);
    if (!locked.ok()) return false;
    lock_file = file_id_of(lock_path);  // it may be new
    if (lock_file) held.insert(*lock_file);
    return false;
  }

  rocksdb::IOStatus sync_dir(const std::string& dir) const {
    std::unique_ptr<rocksdb::FSDirectory> handle;
    auto status = fs->NewDirectory(dir, {}, &handle, nullptr);
    return status.ok() ? handle->Fsync({}, nullptr) : status;
  }

  // Makes the name of the data directory durable. A parent that we may not open was not written by
  // us either.
  rocksdb::IOStatus sync_parent() const {
    std::filesystem::path own = std::filesystem::absolute(options.dir).lexically_normal();
    if (!own.has_filename()) own = own.parent_path();
    std::unique_ptr<rocksdb::FSDirectory> handle;
    if (!fs->NewDirectory(own.parent_path().string(), {}, &handle, nullptr).ok()) return {};
    return handle->Fsync({}, nullptr);
  }

  // Removes everything in a directory; what cannot be removed is met again by the call that is in
  // its way.
  void clear_dir(const std::string& dir) const {
    std::vector<std::string> names;
    if (!fs->GetChildren(dir, {}, &names, nullptr).ok()) return;
    for (const std::string& name : names) {
      if (name == "." || name == "..") continue;
      if (!fs->DeleteFile(dir + "/" + name, {}, nullptr).ok()) remove_dir(dir + "/" + name);
    }
  }
  void remove_dir(const std::string& dir) const {
    clear_dir(dir);
    fs->DeleteDir(dir, {}, nullptr).PermitUncheckedError();
  }

  rocksdb::IOStatus write_file(const std::string& target, std::string_view text) const {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    auto status = fs->NewWritableFile(target, {}, &file, nullptr);
    if (status.ok()) status = file->Append({text.data(), text.size()}, {}, nullptr);
    if (status.ok()) status = file->Fsync({}, nullptr);
    if (status.ok()) status = file->Close({}, nullptr);
    return status;
  }

  // A link, but of a write-ahead log or a MANIFEST that RocksDB would not get through a copy that
  // it does. Its options bound the size of either (max_total_wal_size, max_manifest_file_size).
  rocksdb::IOStatus link_or_mend(const std::string& from, const std::string& to) const {
    const bool is_log = from.ends_with(".log");
    const bool is_manifest =
        std::filesystem::path(from).filename().string().starts_with("MANIFEST-");
    std::string bytes;
    if ((is_log || is_manifest) && rocksdb::ReadFileToString(fs.get(), from, &bytes).ok()) {
      const auto damaged = is_log ? damaged_parts(bytes) : std::vector<ByteRange>();
      for (const auto& [begin, end] : damaged) std::fill(&bytes[begin], &bytes[end], '\0');
      const auto torn = is_manifest ? torn_tail(bytes) : std::nullopt;
      if (torn) bytes.resize(*torn);
      if (!damaged.empty() || torn) return write_file(to, bytes);
    }
    return fs->LinkFile(from, to, {}, nullptr);
  }
};

LogDirectory::LogDirectory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LogDirectory::~LogDirectory() {
  if (impl_->lock == nullptr) return;
  held_locks().with([&](std::set<FileId>& held) {
    if (impl_->lock_file) held.erase(*impl_->lock_file);
    impl_->fs->UnlockFile(impl_->lock, {}, nullptr).PermitUncheckedError();
  });
}

std::variant<std::unique_ptr<LogDirectory>, OpenError> LogDirectory::lock(
    const StoreOptions& options, bool create) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->fs = file_system_of(options);
  if (create) {
    const auto made = impl->fs->CreateDirIfMissing(options.dir, {}, nullptr);
    if (!made.ok()) {
      return open_error(
          kExitCannotCreate, Code::kUnavailable,
          fmt::format("cannot create the data directory {}: {}", options.dir, made.ToString()));
    }
  } else if (!impl->fs->FileExists(options.dir, {}, nullptr).ok()) {
    return open_error(kExitData, Code::kNotFound,
                      fmt::format("there is no data directory {}", options.dir));
  }
  const std::string lock_path = impl->path("LOCK");
  rocksdb::IOStatus locked;
  const bool is_own =
      held_locks().with([&](std::set<FileId>& held) { return impl->lock_or_own(held, locked); });
  if (locked.ok() && !is_own)
    return std::unique_ptr<LogDirectory>(new LogDirectory(std::move(impl)));
  const pid_t holder = is_own ? 0 : lock_holder(lock_path);
  if (!is_own && holder == 0 && ::access(options.dir.c_str(), W_OK) != 0) {
    return open_error(
        kExitIo, Code::kUnavailable,
        fmt::format("cannot write in the data directory {}: {}", options.dir, locked.ToString()));
  }
  return open_error(
      kExitBusy, Code::kUnavailable,
      fmt::format("the data directory {} is in use by {}; stop it, or name another directory",
                  options.dir, holder == 0 ? "this process" : fmt::format("process {}", holder)));
}

const std::shared_ptr<rocksdb::FileSystem>& LogDirectory::file_system() const {
  return impl_->fs;
}
std::string LogDirectory::db_path() const {
  return impl_->path("db");
}
std::string LogDirectory::head_path() const {
  return impl_->path("HEAD");
}

std::variant<bool, OpenError> LogDirectory::has_log() const {
  if (impl_->exists("FORMAT")) {
    std::string text;
    const auto read = rocksdb::ReadFileToString(impl_->fs.get(), impl_->path("FORMAT"), &text);
    if (!read.ok()) return io_error("read", impl_->path("FORMAT"), read);
    std::string_view rest = text;
    const bool named = rest.starts_with(kFormatName);
    rest.remove_prefix(std::min(kFormatName.size() + 1, rest.size()));
    const auto major = parse_u64(rest.substr(0, rest.find('.')));
    if (!named || !major) {
      return open_error(kExitConfig, Code::kDataLoss,
                        fmt::format("{} is not a log's: it is damaged or of another program",
                                    impl_->path("FORMAT")));
    }
    if (*major > kFormatMajor) {
      return open_error(
          kExitConfig, Code::kUnsupported,
          fmt::format(
              "the log in {} has format {}, this version reads up to {}: use a newer tidegated",
              impl_->options.dir, *major, kFormatMajor));
    }
    return true;
  }
  // A creation that did not come to its end. The folder may also be left over from one that did,
  // and then a FORMAT that is missing now is damage.
  if (impl_->exists(".new") && (impl_->exists(".new/FORMAT") || !impl_->exists("HEAD")))
    return false;
  std::vector<std::string> names;
  const auto listed = impl_->fs->GetChildren(impl_->options.dir, {}, &names, nullptr);
  if (!listed.ok()) return io_error("list", impl_->options.dir, listed);
  for (const std::string& name : names) {
    if (kHarmless.contains(name)) continue;
    return open_error(kExitConfig, Code::kUnavailable,
                      fmt::format("{} is not a Tidegate data directory (it has '{}' but no "
                                  "FORMAT): name an empty or a new one",
                                  impl_->options.dir, name));
  }
  return false;
}

std::optional<OpenError> LogDirectory::check_space() const {
  const StoreOptions& options = impl_->options;
  std::uint64_t free = free_bytes_of(options);
  if (free < options.disk_hard_bytes && ::truncate(impl_->path("ballast").c_str(), 0) == 0)
    free = free_bytes_of(options);
  if (free >= options.disk_hard_bytes) return std::nullopt;
  return open_error(kExitCannotCreate, Code::kDiskLow,
                    fmt::format("the file system of {} has {} MiB free, {} MiB are needed to open "
                                "the log safely; free some "
                                "space and start again (nothing was changed)",
                                options.dir, free >> 20, options.disk_hard_bytes >> 20));
}

std::optional<OpenError> LogDirectory::create_log(std::int64_t now_us) const {
  rocksdb::FileSystem& files = *impl_->fs;
  const std::string aside = impl_->path(".new");
  // The mark of an unfinished creation is there from before the first file to after the last one,
  // and HEAD comes after it and goes before it (see has_log).
  files.DeleteFile(head_path(), {}, nullptr).PermitUncheckedError();
  auto status = files.CreateDirIfMissing(aside, {}, nullptr);
  if (status.ok()) status = impl_->sync_dir(impl_->options.dir);
  if (status.ok()) status = impl_->sync_parent();
  if (!status.ok()) return io_error("create", aside, status);
  impl_->clear_dir(aside);
  for (const char* name : {"db", "wal-kept"}) impl_->remove_dir(impl_->path(name));

  const LogId log = LogId::random();
  const History history = History::create(log, now_us);
  {
    auto storage = Storage::open(aside + "/db", Storage::Mode::kCreate, impl_->options.file_system);
    if (!storage) return OpenError{storage.error(), kExitCannotCreate};
    StorageBatch batch(**storage);
    history.put_lineage(batch);
    History::put_floor(batch, history.floor());
    auto written = (*storage)->write_synced(batch);
    if (!written) return OpenError{written.error(), kExitIo};
  }
  auto head = HeadFile::create(files, aside + "/HEAD", {log, {0, history.root_chain()}});
  if (!head) return OpenError{head.error(), kExitIo};
  status = impl_->write_file(aside + "/FORMAT", kFormatText);
  if (status.ok()) status = impl_->sync_dir(aside + "/db");
  if (status.ok()) status = impl_->sync_dir(aside);
  for (const char* name : {"db", "HEAD", "FORMAT"}) {
    if (status.ok()) status = files.RenameFile(aside + "/" + name, impl_->path(name), {}, nullptr);
    if (status.ok()) status = impl_->sync_dir(impl_->options.dir);
  }
  if (!status.ok()) return io_error("create the log in", impl_->options.dir, status);
  impl_->remove_dir(aside);
  return std::nullopt;
}

std::optional<OpenError> LogDirectory::write_head(const HeadMark& mark) const {
  const std::string aside = impl_->path("HEAD.new");
  auto made = HeadFile::create(*impl_->fs, aside, mark);
  if (!made) return OpenError{made.error(), kExitIo};
  auto status = impl_->fs->RenameFile(aside, head_path(), {}, nullptr);
  if (status.ok()) status = impl_->sync_dir(impl_->options.dir);
  if (!status.ok()) return io_error("replace", head_path(), status);
  return std::nullopt;
}

std::string LogDirectory::links_path() const {
  return impl_->path("db.links");
}
std::string LogDirectory::copy_path() const {
  return impl_->path("db.copy");
}

std::optional<OpenError> LogDirectory::settle_replacement() const {
  rocksdb::IOStatus status;
  // db.damaged comes into being by the rename after which only another one is missing.
  if (!impl_->exists("db") && impl_->exists("db.damaged") && impl_->exists("db.copy"))
    status = impl_->fs->RenameFile(copy_path(), db_path(), {}, nullptr);
  if (!status.ok()) return io_error("rename", copy_path(), status);
  if (!impl_->exists("db")) {
    return open_error(kExitData, Code::kDataLoss,
                      fmt::format("{} is missing. Restore a backup", db_path()));
  }
  remove_replaced();
  for (const char* name : {"db.damaged", "db.copy", "db.links"}) {
    if (status.ok() && impl_->exists(name)) status = rocksdb::IOStatus::IOError(name);
  }
  if (status.ok()) status = impl_->sync_dir(impl_->options.dir);
  if (!status.ok()) return io_error("remove what is left in", impl_->options.dir, status);
  return std::nullopt;
}

std::optional<OpenError> LogDirectory::link_db() const {
  rocksdb::FileSystem& files = *impl_->fs;
  std::vector<std::string> names;
  auto status = files.GetChildren(db_path(), {}, &names, nullptr);
  if (status.ok()) status = files.CreateDirIfMissing(links_path(), {}, nullptr);
  for (const std::string& name : names) {
    // RocksDB opens these two to write in them; every other file it writes is a new one.
    if (name == "." || name == ".." || name == "LOCK" || name == "LOG") continue;
    if (status.ok())
      status = impl_->link_or_mend(db_path() + "/" + name, links_path() + "/" + name);
  }
  if (!status.ok()) return io_error("link the files of", db_path(), status);
  return std::nullopt;
}

std::optional<OpenError> LogDirectory::replace_db(const std::string& by) const {
  const std::pair<std::string, std::string> renames[] = {
      {by, copy_path()}, {db_path(), impl_->path("db.damaged")}, {copy_path(), db_path()}};
  auto status = impl_->sync_dir(by);
  for (const auto& [from, to] : renames) {
    if (status.ok() && from != to) status = impl_->fs->RenameFile(from, to, {}, nullptr);
    if (status.ok()) status = impl_->sync_dir(impl_->options.dir);
  }
  if (!status.ok()) return io_error("replace", db_path(), status);
  return std::nullopt;
}

void LogDirectory::remove_replaced() const {
  for (const char* name : {"db.damaged", "db.copy", "db.links"})
    impl_->remove_dir(impl_->path(name));
}

void LogDirectory::keep_write_ahead_logs() const {
  const std::string kept = impl_->path("wal-kept");
  impl_->remove_dir(kept);
  std::vector<std::string> names;
  auto status = impl_->fs->CreateDirIfMissing(kept, {}, nullptr);
  if (status.ok()) status = impl_->fs->GetChildren(db_path(), {}, &names, nullptr);
  for (const std::string& name : names) {
    if (!status.ok()) break;
    if (!name.ends_with(".log")) continue;
    status = impl_->fs->LinkFile(db_path() + "/" + name, kept + "/" + name, {}, nullptr);
  }
  if (!status.ok()) {
    log(LogLevel::kWarn, "the write-ahead logs could not be kept aside",
        {{"error", status.ToString()}});
  }
}

std::optional<OpenError> LogDirectory::cut_manifest(const TornManifest& torn) const {
  // A name of RocksDB's own temporary files: it removes one that a kill leaves behind.
  const std::string aside = db_path() + "/000000.dbtmp";
  auto status = impl_->write_file(aside, torn.sound);
  if (status.ok()) status = impl_->fs->RenameFile(aside, torn.path, {}, nullptr);
  if (status.ok()) status = impl_->sync_dir(db_path());
  if (!status.ok()) return io_error("replace", torn.path, status);
  log(LogLevel::kWarn, "a power cut tore the end of RocksDB's MANIFEST, which was not synced: cut",
      {{"file", torn.path}, {"bytes_kept", torn.sound.size()}, {"bytes_cut", torn.torn_bytes}});
  return std::nullopt;
}

}  // namespace tidegate
