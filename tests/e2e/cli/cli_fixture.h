#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"

namespace tidegate::test {

// A gateway and the command line beside it, both as users run them.
// Thread: caller serialises.
class CliTest : public testing::Test {
 protected:
  Finished run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), tidegate_path());
    return run_program(arguments, {{"TIDEGATE_SERVER", gateway_.grpc()}});
  }
  // A line of shell with $T for the program.
  Finished shell(const std::string& line) const {
    return run_program({"/bin/sh", "-c", line},
                       {{"TIDEGATE_SERVER", gateway_.grpc()}, {"T", tidegate_path()}});
  }

  // `count` events of type "tick" or (every third) "tock" on streams n.0, n.1, ..., n.4, a second
  // apart by their own time.
  std::string lines(int count) const {
    std::string text;
    for (int i = 0; i < count; ++i) {
      char time[32];
      std::snprintf(time, sizeof time, "2001-01-01T%02d:%02d:%02dZ", i / 3600, i / 60 % 60, i % 60);
      text += R"({"stream":"n.)" + std::to_string(i % 5) +
              R"(","event":{"specversion":"1.0","id":"i)" + std::to_string(i) +
              R"(","source":"/test","type":")" + (i % 3 == 0 ? "tock" : "tick") + R"(","time":")" +
              time + R"(","datacontenttype":"application/json","data":{"n":)" + std::to_string(i) +
              "}}}\n";
    }
    return text;
  }
  void import(int count) {
    write_file(dir_.file("in.jsonl"), lines(count));
    const Finished done = run({"import", dir_.file("in.jsonl")});
    ASSERT_EQ(done.exit_code, 0) << done.stderr_text;
  }

  GatewayProcess gateway_;
  TempDir dir_;
};

// Whether the condition comes true while the process runs or ends, within the usual patience.
template <typename Condition>
bool eventually(ChildProcess& process, const Condition& condition) {
  const Deadline deadline(kPatience);
  while (!condition()) {
    if (process.wait_exit(Milliseconds(20)) || deadline.is_over()) return condition();
  }
  return true;
}

inline std::size_t line_count(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// The sequences of JSON Lines in their order.
inline std::vector<int> sequences(const std::string& text) {
  std::vector<int> found;
  const std::string key = "{\"sequence\":";
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    found.push_back(std::stoi(text.substr(at + key.size())));
  }
  return found;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace tidegate::test
