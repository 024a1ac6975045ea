// Debian builds RocksDB for any x86-64 processor, so that its CRC-32C, which covers every byte of
// the write-ahead log, runs from tables: a tenth of the time of ingest. This function takes the
// place of RocksDB's own (the dynamic linker prefers a program's symbols to a library's) and uses
// the processor's instruction for it, where there is one.
//
// tests/eventstore/crc32c_test.cc says when a RocksDB no longer calls it. Nothing breaks then but
// the speed.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>

#include "eventstore/base/check.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace rocksdb::crc32c {

// The CRC-32C (RFC 3720, appendix B.4) of bytes whose beginning has `crc`, and `size` more.
// Any thread.
std::uint32_t Extend(std::uint32_t crc, const char* data, std::size_t size);

namespace {

using Function = decltype(&Extend);

#if defined(__x86_64__)
[[gnu::target("sse4.2")]] std::uint32_t by_instruction(std::uint32_t crc, const char* data,
                                                       std::size_t size) {
  std::uint64_t sum = ~crc;
  for (; size >= sizeof(std::uint64_t); size -= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, sizeof word);
    sum = _mm_crc32_u64(sum, word);
    data += sizeof word;
  }
  auto rest = static_cast<std::uint32_t>(sum);
  for (; size > 0; --size) rest = _mm_crc32_u8(rest, static_cast<unsigned char>(*data++));
  return ~rest;
}
#endif

Function choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2")) return by_instruction;
#endif
  void* const of_library = ::dlsym(RTLD_NEXT, "_ZN7rocksdb6crc32c6ExtendEjPKcm");
  TG_CHECK(of_library != nullptr);
  return reinterpret_cast<Function>(of_library);
}

}  // namespace

[[gnu::visibility("default")]] std::uint32_t Extend(std::uint32_t crc, const char* data,
                                                    std::size_t size) {
  static const Function extend = choose();
  return extend(crc, data, size);
}

}  // namespace rocksdb::crc32c
