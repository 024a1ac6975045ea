#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>

#include <gtest/gtest.h>

namespace tidegate::test {

// An empty directory that is removed with everything in it.
// Thread: caller serialises.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tidegate-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "cannot create " << pattern;
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes;
  // In blocks: a log that is read after each step of a test becomes long.
  std::array<char, 64 << 10> block;
  do {
    in.read(block.data(), block.size());
    bytes.append(block.data(), static_cast<std::size_t>(in.gcount()));
  } while (in);
  return bytes;
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Relative path and bytes of every file; directories with an empty value and a trailing slash.
inline std::map<std::string, std::string> files_below(const std::filesystem::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    const std::string name = std::filesystem::relative(entry.path(), dir).string();
    if (entry.is_directory()) {
      files[name + "/"];
    } else {
      files[name] = read_file(entry.path());
    }
  }
  return files;
}

// The files below a directory with their sizes; one that goes meanwhile may be left out.
inline std::map<std::string, std::uintmax_t> sizes_below(const std::filesystem::path& dir) {
  std::map<std::string, std::uintmax_t> sizes;
  std::error_code gone;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir, gone))
    sizes[entry.path().string()] = entry.file_size(gone);
  return sizes;
}

// Also of a store that runs: it may drop or begin a file in the middle of it, which would be a
// state that no crash leaves behind, so the copy is made anew until nothing has changed meanwhile.
inline void copy_dir(const std::filesystem::path& from, const std::filesystem::path& to) {
  constexpr int kAttemptsMax = 100;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const auto before = sizes_below(from);
    std::filesystem::remove_all(to);
    std::error_code error;
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive, error);
    if (!error && sizes_below(from) == before) return;
  }
  throw std::runtime_error("cannot copy " + from.string() + ": it changes all the time");
}

}  // namespace tidegate::test
