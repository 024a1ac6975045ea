#pragma once

#include <string>

namespace tidegate {

// Who a session belongs to. Without configured authentication: the empty subject, everything
// permitted. Thread: immutable.
struct Principal {
  std::string subject;
  bool may_publish = true;
  bool is_admin = true;
};

}  // namespace tidegate
