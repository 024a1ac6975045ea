#pragma once

#include <string_view>

namespace tidegate {

// Who did or tried what: never a token, a key or a payload.
struct AuditEntry {
  // "authenticated", "refused" (not let in), "denied" (let in, but not permitted), "admin" (a call
  // of AdminService), "reloaded".
  std::string_view event;
  std::string_view client = {};   // address, or the connection's name; empty: not known
  std::string_view subject = {};  // empty: not known
  std::string_view detail = {};
};

// Where such entries go. Thread: any (internally synchronised).
class Audit {
 public:
  virtual ~Audit() = default;
  virtual void note(const AuditEntry& entry) = 0;

  // Keeps nothing.
  static Audit& nowhere();
};

}  // namespace tidegate
