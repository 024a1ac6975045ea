#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/filter.h"

namespace tidegate {

// New names for streams: rules `pattern=template`, of which the first that matches decides. The
// wildcards of the template take what those of the pattern matched, in order:
// `orders.*.>=copy.*.>`. A name that no rule matches stays as it is. Thread: immutable.
class StreamMap {
 public:
  // kBadArgument or kBadPattern with the rule that is wrong.
  static Result<StreamMap> parse(const std::vector<std::string>& rules);

  // kBadArgument when the new name is no name that can be published to (too long, too many tokens).
  Result<std::string> map(std::string_view stream) const;

 private:
  struct Rule {
    Pattern pattern;
    std::string name;  // with wildcards
  };
  std::vector<Rule> rules_;
};

}  // namespace tidegate
