#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate {

// Finds the values of several JSON pointers (RFC 6901) in one pass over a text, and stops when it
// has them all. It reads only what lies on the way: a few fields of data that publishing has
// checked cost less than parsing all of it.
//
// Of repeated names in an object the first one counts.
// Thread: caller serialises.
class PointerFinder {
 public:
  PointerFinder();

  // The number by which `found` knows the pointer; equal pointers have one. No tokens: the whole
  // text.
  std::size_t add(std::span<const std::string> tokens);

  // False when the text is not JSON, as far as it was read; then nothing counts as found.
  bool find(std::string_view json);
  // The text of the value in the last text given to `find`, without white space around it; empty
  // when there is none.
  std::string_view found(std::size_t pointer) const { return found_[pointer]; }

 private:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  // A place on the way to a value.
  struct Node {
    std::string name;
    std::optional<std::uint64_t> index;  // the name as a place in an array
    std::size_t pointer = kNone;         // that ends here
    std::vector<std::size_t> children;
    std::uint64_t seen_in = 0;  // the pass that has been here
  };

  std::size_t child_of(std::size_t parent, const std::string& name);
  bool read_value(std::size_t node);
  bool read_object(std::size_t node);
  bool read_array(std::size_t node);
  bool read_child_or_skip(std::size_t child);
  bool skip_value();
  bool skip_string();
  bool skip_nested();
  void skip_space();
  std::size_t child_named(const Node& node, std::string_view raw_name) const;
  bool comes(char c) const { return at_ < end_ && *at_ == c; }

  std::vector<Node> nodes_;  // the first one is the whole text
  std::vector<std::string_view> found_;
  // Of the pass under way.
  std::uint64_t pass_ = 0;
  std::size_t missing_ = 0;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

}  // namespace tidegate
