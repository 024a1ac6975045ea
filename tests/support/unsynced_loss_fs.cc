#include "tests/support/unsynced_loss_fs.h"

#include <utility>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace tidegate::test {
namespace {

using Outcome = SimulatedDisk::Outcome;
using Node = SimulatedDisk::NodeRef;
using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// The statuses that RocksDB's POSIX file system gives for the same outcome.
IOStatus status_of(Outcome outcome, const std::string& path) {
  switch (outcome) {
    case Outcome::kOk:
      return IOStatus::OK();
    case Outcome::kMachineIsOff:
      return IOStatus::IOError(path, "the machine is off");
    case Outcome::kNotFound:
      return IOStatus::PathNotFound(path, "No such file or directory");
    case Outcome::kExists:
      return IOStatus::IOError(path, "File exists");
    case Outcome::kNotADirectory:
      return IOStatus::IOError(path, "Not a directory, or is one");
    case Outcome::kNotEmpty:
      return IOStatus::IOError(path, "Directory not empty");
    case Outcome::kSyncFailed:
      return IOStatus::IOError(path, "Input/output error");
    case Outcome::kLocked:
      return IOStatus::IOError(path, "lock held");
  }
  return IOStatus::IOError(path);
}

// An open file: what all kinds of handles share.
struct Handle {
  std::shared_ptr<SimulatedDisk> disk;
  std::uint64_t run;
  std::string path;
  Node node;

  IOStatus status(Outcome outcome) const { return status_of(outcome, path); }
  IOStatus read(std::uint64_t offset, std::size_t size, Slice* result, char* scratch) const {
    std::size_t got = 0;
    const Outcome outcome = disk->read(run, node, offset, size, scratch, got);
    *result = Slice(scratch, got);
    return status(outcome);
  }
};

class SequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit SequentialFile(Handle handle) : handle_(std::move(handle)) {}
  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status = handle_.read(offset_, n, result, scratch);
    offset_ += result->size();
    return status;
  }
  IOStatus Skip(uint64_t n) override {
    offset_ += n;
    return IOStatus::OK();
  }

 private:
  Handle handle_;
  std::uint64_t offset_ = 0;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit RandomAccessFile(Handle handle) : handle_(std::move(handle)) {}
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return handle_.read(offset, n, result, scratch);
  }

 private:
  Handle handle_;
};

class WritableFile final : public rocksdb::FSWritableFile {
 public:
  explicit WritableFile(Handle handle) : handle_(std::move(handle)) {}
  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    return handle_.status(
        handle_.disk->append(handle_.run, handle_.node, {data.data(), data.size()}));
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    if (GetFileSize({}, nullptr) == size) return IOStatus::OK();
    return handle_.status(handle_.disk->truncate(handle_.run, handle_.node, size));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return handle_.status(handle_.disk->sync(handle_.run, handle_.path, handle_.node));
  }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    std::uint64_t bytes = 0;
    handle_.disk->size(handle_.run, handle_.node, bytes);
    return bytes;
  }

 private:
  Handle handle_;
};

class RandomRWFile final : public rocksdb::FSRandomRWFile {
 public:
  explicit RandomRWFile(Handle handle) : handle_(std::move(handle)) {}
  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions&, IODebugContext*) override {
    return handle_.status(
        handle_.disk->write(handle_.run, handle_.node, offset, {data.data(), data.size()}));
  }
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return handle_.read(offset, n, result, scratch);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return handle_.status(handle_.disk->sync(handle_.run, handle_.path, handle_.node));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  Handle handle_;
};

class Directory final : public rocksdb::FSDirectory {
 public:
  explicit Directory(Handle handle) : handle_(std::move(handle)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return handle_.status(handle_.disk->sync_dir(handle_.run, handle_.node));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  Handle handle_;
};

struct Lock final : rocksdb::FileLock {
  explicit Lock(std::string locked) : path(std::move(locked)) {}
  std::string path;
};

// RocksDB's own text log would only slow the runs down.
class SilentLogger final : public rocksdb::Logger {
 public:
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

class UnsyncedLossFs final : public rocksdb::FileSystem {
 public:
  explicit UnsyncedLossFs(std::shared_ptr<SimulatedDisk> disk)
      : disk_(std::move(disk)), run_(disk_->run()) {}

  const char* Name() const override { return "UnsyncedLossFs"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file,
                             IODebugContext*) override {
    return open<SequentialFile>(path, file);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                               IODebugContext*) override {
    return open<RandomAccessFile>(path, file);
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext*) override {
    return create(path, true, file);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>* file,
                              IODebugContext*) override {
    return create(path, false, file);
  }
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                           IODebugContext*) override {
    return open<RandomRWFile>(path, file);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* dir, IODebugContext*) override {
    return open<Directory>(path, dir);
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    Node node;
    const Outcome outcome = disk_->open(run_, path, node);
    return outcome == Outcome::kNotFound ? IOStatus::NotFound(path) : status_of(outcome, path);
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* names,
                       IODebugContext*) override {
    names->clear();
    const Outcome outcome = disk_->list(run_, path, *names);
    return outcome == Outcome::kNotFound ? IOStatus::NotFound(path) : status_of(outcome, path);
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return status_of(disk_->remove(run_, path, false), path);
  }
  IOStatus Truncate(const std::string& path, size_t size, const IOOptions&,
                    IODebugContext*) override {
    Node node;
    if (const Outcome outcome = disk_->open(run_, path, node); outcome != Outcome::kOk) {
      return status_of(outcome, path);
    }
    return status_of(disk_->truncate(run_, node, size), path);
  }
  IOStatus CreateDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return status_of(disk_->make_dir(run_, path), path);
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) override {
    Node node;
    if (disk_->open(run_, path, node) == Outcome::kOk) {
      return SimulatedDisk::is_directory(node) ? IOStatus::OK()
                                               : status_of(Outcome::kNotADirectory, path);
    }
    return status_of(disk_->make_dir(run_, path), path);
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return status_of(disk_->remove(run_, path, true), path);
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* bytes,
                       IODebugContext*) override {
    Node node;
    const Outcome outcome = disk_->open(run_, path, node);
    if (outcome != Outcome::kOk) return status_of(outcome, path);
    return status_of(disk_->size(run_, node, *bytes), path);
  }
  IOStatus GetFileModificationTime(const std::string&, const IOOptions&, uint64_t* time,
                                   IODebugContext*) override {
    *time = 0;
    return IOStatus::OK();
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                      IODebugContext*) override {
    return status_of(disk_->rename(run_, from, to), from);
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                    IODebugContext*) override {
    return status_of(disk_->link(run_, from, to), to);
  }
  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock,
                    IODebugContext*) override {
    Node node;
    Outcome outcome = disk_->open(run_, path, node);
    if (outcome == Outcome::kNotFound) outcome = disk_->create(run_, path, false, node);
    if (outcome == Outcome::kOk) outcome = disk_->lock(run_, path);
    *lock = outcome == Outcome::kOk ? new Lock(path) : nullptr;
    return status_of(outcome, path);
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    const std::unique_ptr<Lock> held(static_cast<Lock*>(lock));
    disk_->unlock(run_, held->path);
    return IOStatus::OK();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string* path, IODebugContext*) override {
    *path = "/";
    return IOStatus::OK();
  }
  IOStatus NewLogger(const std::string&, const IOOptions&, std::shared_ptr<rocksdb::Logger>* logger,
                     IODebugContext*) override {
    *logger = std::make_shared<SilentLogger>();
    return IOStatus::OK();
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* absolute,
                           IODebugContext*) override {
    *absolute = path;
    return IOStatus::OK();
  }
  IOStatus GetFreeSpace(const std::string&, const IOOptions&, uint64_t* bytes,
                        IODebugContext*) override {
    *bytes = std::uint64_t{1} << 40;
    return IOStatus::OK();
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_dir,
                       IODebugContext*) override {
    Node node;
    const Outcome outcome = disk_->open(run_, path, node);
    *is_dir = outcome == Outcome::kOk && SimulatedDisk::is_directory(node);
    return status_of(outcome, path);
  }

 private:
  template <typename File, typename Base>
  IOStatus open(const std::string& path, std::unique_ptr<Base>* file) {
    Node node;
    const Outcome outcome = disk_->open(run_, path, node);
    if (outcome == Outcome::kOk) *file = std::make_unique<File>(Handle{disk_, run_, path, node});
    return status_of(outcome, path);
  }
  IOStatus create(const std::string& path, bool truncate,
                  std::unique_ptr<rocksdb::FSWritableFile>* file) {
    Node node;
    const Outcome outcome = disk_->create(run_, path, truncate, node);
    if (outcome == Outcome::kOk) {
      *file = std::make_unique<WritableFile>(Handle{disk_, run_, path, node});
    }
    return status_of(outcome, path);
  }

  const std::shared_ptr<SimulatedDisk> disk_;
  const std::uint64_t run_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> file_system_of(std::shared_ptr<SimulatedDisk> disk) {
  return std::make_shared<UnsyncedLossFs>(std::move(disk));
}

}  // namespace tidegate::test
