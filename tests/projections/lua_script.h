#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "projections/definition.h"
#include "projections/lua_fold.h"
#include "tests/projections/folded_event.h"

namespace tidegate::test {

// The projection `delay`, a script, with its committed rows in a map. Errors come as their
// messages,
// "" is success.
// Thread: caller serialises.
class LuaScript {
 public:
  explicit LuaScript(std::string source, const LuaLimits& limits = {}) {
    const Definition definition{"delay", "", "", Filter::everything(), Script{std::move(source)}};
    auto made = make_lua_fold(definition, limits);
    if (made) {
      fold_ = *std::move(made);
    } else {
      load_error_ = made.error().message;
      load_code_ = made.error().code;
    }
  }

  const std::string& load_error() const { return load_error_; }
  Code load_code() const { return load_code_; }

  std::string apply(FoldedEvent event) {
    event.sequence = ++sequence_;
    return message_of(fold_->apply(event.record(), rows_));
  }

  std::string commit() {
    auto changes = fold_->take_changes();
    if (!changes) return changes.error().message;
    rows_.commit(*changes);
    return "";
  }

  void forget() { fold_->forget(); }
  std::size_t bytes() const { return fold_->bytes(); }
  MapRows& rows() { return rows_; }

  // The document of the row "all" after these events, or what went wrong.
  std::string document_after(const std::vector<FoldedEvent>& events) {
    for (const FoldedEvent& event : events) {
      std::string error = apply(event);
      if (!error.empty()) return error;
    }
    std::string error = commit();
    if (!error.empty()) return error;
    const auto documents = rows_.documents();
    const auto found = documents.find("all");
    return found == documents.end() ? "no row" : found->second;
  }

 private:
  static std::string message_of(const Status& status) {
    return status ? "" : status.error().message;
  }

  std::string load_error_;
  Code load_code_ = Code::kInternal;
  std::unique_ptr<Fold> fold_;
  MapRows rows_;
  Sequence sequence_ = 0;
};

// The script of one handler for every type; its body begins on line 3.
inline std::string handler(const std::string& body) {
  return "on = {}\non['*'] = function(state, event)\n" + body + "\nend\n";
}

}  // namespace tidegate::test
