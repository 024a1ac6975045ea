#pragma once

#include <cstddef>
#include <random>
#include <string>

namespace tidegate::test {

// Bytes that do not shrink, so that places in a table are places in the log.
inline std::string noise(std::mt19937_64& random, std::size_t size) {
  std::string bytes(size, ' ');
  for (char& byte : bytes) byte = static_cast<char>('0' + random() % 64);
  return bytes;
}

}  // namespace tidegate::test
