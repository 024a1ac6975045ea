#pragma once

#include <cstdint>
#include <string>

namespace tidegate::bench {

// What the system alone needs for what a gateway asks of it: below that no gateway can be. Each
// prints one JSON object and returns the exit code. Thread: caller serialises.

struct SendsOptions {
  std::uint64_t subscribers = 1000;
  std::uint64_t rate = 50;     // events a second
  std::uint64_t events = 500;  // each goes to every subscriber
  std::uint64_t bytes = 430;  // of a message: an event of 128 bytes in JSON, with what is around it
  // Where each event is first appended to a file and synced, as a gateway must that delivers what
  // is durable; empty: nowhere.
  std::string sync_directory;
  std::uint64_t send_core = 0;
  std::uint64_t read_core = 1;
};

// A loop of send() over loopback connections, on its core, to a reader on the other.
int measure_sends(const SendsOptions& options);

struct PingsOptions {
  std::uint64_t connections = 10'000;
  std::uint64_t period_ms = 25'000;  // each connection is pinged once in it
  std::uint64_t ping_core = 0;
  std::uint64_t answer_core = 1;
};

// A ping frame to each of many sockets that are idle otherwise, and the pong to it.
int measure_pings(const PingsOptions& options);

// The time of appending a block to a file of this directory and fdatasync.
int measure_fdatasync(const std::string& directory, std::uint64_t times);

}  // namespace tidegate::bench
