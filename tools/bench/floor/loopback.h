#pragma once

#include <cstdint>
#include <netinet/in.h>
#include <optional>
#include <vector>

namespace tidegate::bench {

// Sockets without a gateway. Thread: caller serialises.

struct Loopback {
  int listener = -1;
  sockaddr_in address{};
};
// On a free port of 127.0.0.1. Nothing, with a line on stderr, when that is not to be had.
std::optional<Loopback> listen_on_loopback();
// So many, that answer at once.
std::vector<int> accept_all(const Loopback& loopback, std::uint64_t count);
// The other ends; ends the process when one cannot be made.
std::vector<int> connect_all(const Loopback& loopback, std::uint64_t count);
// An epoll that tells which of the sockets can be read, by its place in the list.
int watch_all(const std::vector<int>& sockets);

// The calling thread stays on this core.
void pin(std::uint64_t core);
// Processor time of the process.
std::int64_t cpu_us();

}  // namespace tidegate::bench
