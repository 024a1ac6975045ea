#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support/upgrade_request.h"

namespace tidegate::test {

inline const UpgradeRequest kGood;

// A request in raw bytes and the verdict on it. After each the gateway must be unharmed (peer.h).
// Thread: main only.
struct RequestCase {
  std::string rule;  // "RFC 6455 section 4.2.1", for example
  std::string name;
  std::string bytes;
};

// The answer is 101 with the fields of RFC 6455 section 4.2.2, and frames are spoken from there on.
// Returns the answers' heads.
std::vector<std::string> expect_upgraded(const std::vector<RequestCase>& cases);
// The answer has this status and ends the connection. `field`, when named, must be in it.
void expect_answered(int status, const std::vector<RequestCase>& cases,
                     const std::pair<std::string, std::string>& field = {});

// Whether `list`, a field's value, names `option` in any case.
bool has_option(const std::string& list, const std::string& option);

}  // namespace tidegate::test
