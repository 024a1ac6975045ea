#include "projections/pointer_finder.h"

#include <algorithm>

#include "eventstore/base/text.h"
#include "projections/json_value.h"

namespace tidegate {

PointerFinder::PointerFinder() : nodes_(1) {}

std::size_t PointerFinder::child_of(std::size_t parent, const std::string& name) {
  for (const std::size_t child : nodes_[parent].children) {
    if (nodes_[child].name == name) return child;
  }
  Node node;
  node.name = name;
  node.index = parse_u64(name);
  nodes_.push_back(std::move(node));
  nodes_[parent].children.push_back(nodes_.size() - 1);
  return nodes_.size() - 1;
}

std::size_t PointerFinder::add(std::span<const std::string> tokens) {
  std::size_t node = 0;
  for (const std::string& token : tokens) node = child_of(node, token);
  if (nodes_[node].pointer == kNone) {
    nodes_[node].pointer = found_.size();
    found_.emplace_back();
  }
  return nodes_[node].pointer;
}

bool PointerFinder::find(std::string_view json) {
  std::fill(found_.begin(), found_.end(), std::string_view());
  ++pass_;
  missing_ = found_.size();
  at_ = json.data();
  end_ = json.data() + json.size();
  skip_space();
  if (read_value(0)) return true;
  std::fill(found_.begin(), found_.end(), std::string_view());
  return false;
}

void PointerFinder::skip_space() {
  while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
}

// Every reader stands at the first byte of its value, and leaves behind the last one, or anywhere
// once nothing is missing: a node whose own value is wanted has not ended then.
bool PointerFinder::read_value(std::size_t node) {
  const char* const begin = at_;
  const bool is_leaf = nodes_[node].children.empty();
  const bool is_read = !is_leaf && comes('{')   ? read_object(node)
                       : !is_leaf && comes('[') ? read_array(node)
                                                : skip_value();
  if (!is_read) return false;
  const std::size_t pointer = nodes_[node].pointer;
  if (pointer != kNone && missing_ > 0) {
    found_[pointer] = std::string_view(begin, static_cast<std::size_t>(at_ - begin));
    --missing_;
  }
  return true;
}

bool PointerFinder::read_child_or_skip(std::size_t child) {
  if (child == kNone || nodes_[child].seen_in == pass_) return skip_value();
  nodes_[child].seen_in = pass_;
  return read_value(child);
}

bool PointerFinder::read_object(std::size_t node) {
  ++at_;
  skip_space();
  if (comes('}')) {
    ++at_;
    return true;
  }
  while (true) {
    if (!comes('"')) return false;
    const char* const name = at_ + 1;
    if (!skip_string()) return false;
    const std::size_t child =
        child_named(nodes_[node], std::string_view(name, static_cast<std::size_t>(at_ - 1 - name)));
    skip_space();
    if (!comes(':')) return false;
    ++at_;
    skip_space();
    if (!read_child_or_skip(child)) return false;
    if (missing_ == 0) return true;
    skip_space();
    const bool goes_on = comes(',');
    if (!goes_on && !comes('}')) return false;
    ++at_;
    if (!goes_on) return true;
    skip_space();
  }
}

bool PointerFinder::read_array(std::size_t node) {
  ++at_;
  skip_space();
  if (comes(']')) {
    ++at_;
    return true;
  }
  for (std::uint64_t index = 0;; ++index) {
    std::size_t child = kNone;
    for (const std::size_t candidate : nodes_[node].children) {
      if (nodes_[candidate].index == index) child = candidate;
    }
    if (!read_child_or_skip(child)) return false;
    if (missing_ == 0) return true;
    skip_space();
    const bool goes_on = comes(',');
    if (!goes_on && !comes(']')) return false;
    ++at_;
    if (!goes_on) return true;
    skip_space();
  }
}

std::size_t PointerFinder::child_named(const Node& node, std::string_view raw_name) const {
  std::string unescaped;
  if (raw_name.find('\\') != std::string_view::npos) {
    // Rare enough to be read by the parser.
    std::string quoted = "\"";
    quoted += raw_name;
    quoted += '"';
    const Result<Json> name = Json::parse(quoted);
    if (!name) return kNone;
    unescaped = *name->as<std::string>();
    raw_name = unescaped;
  }
  for (const std::size_t child : node.children) {
    if (nodes_[child].name == raw_name) return child;
  }
  return kNone;
}

bool PointerFinder::skip_value() {
  if (at_ == end_) return false;
  if (*at_ == '"') return skip_string();
  if (*at_ == '{' || *at_ == '[') return skip_nested();
  const char* const begin = at_;
  const auto ends_scalar = [](char c) {
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r';
  };
  while (at_ < end_ && !ends_scalar(*at_)) ++at_;
  return at_ > begin;
}

bool PointerFinder::skip_string() {
  for (++at_; at_ < end_; ++at_) {
    if (*at_ == '"') {
      ++at_;
      return true;
    }
    if (*at_ == '\\' && ++at_ == end_) return false;
  }
  return false;
}

bool PointerFinder::skip_nested() {
  std::size_t depth = 0;
  while (at_ < end_) {
    const char c = *at_;
    if (c == '"') {
      if (!skip_string()) return false;
      continue;
    }
    ++at_;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return true;
  }
  return false;
}

}  // namespace tidegate
