#include "gateway/delivery/interest_index.h"

#include <algorithm>

#include "eventstore/base/check.h"

namespace tidegate {

// A place in the trie of patterns: the tokens up to here have been matched.
struct InterestIndex::Node {
  TextMap<std::unique_ptr<Node>> children;
  std::unique_ptr<Node> any;  // `*`
  Interests here;             // patterns that end here
  Interests rest;             // patterns that go on with `>`

  bool is_empty() const { return children.empty() && !any && here.empty() && rest.empty(); }
};

namespace {

void drop(std::vector<InterestIndex::Interest>& from, std::uint64_t number) {
  const auto at = std::find_if(from.begin(), from.end(),
                               [number](const auto& have) { return have.number == number; });
  TG_CHECK(at != from.end(), number);
  *at = from.back();
  from.pop_back();
}

// What a kept result costs: its entries and, roughly, its node in the map.
constexpr std::size_t kKeptOverhead = 160;

std::size_t cost_of(std::string_view stream, const std::vector<InterestIndex::Interest>& matches) {
  return kKeptOverhead + stream.size() + matches.capacity() * sizeof(InterestIndex::Interest);
}

}  // namespace

InterestIndex::InterestIndex() : root_(std::make_unique<Node>()) {}
InterestIndex::~InterestIndex() = default;

void InterestIndex::add(std::uint64_t number, Interested& who, const Filter& filter) {
  const Interest interest{number, &who};
  for (const Pattern& pattern : filter.patterns()) {
    if (pattern.is_exact()) {
      exact_[pattern.text()].push_back(interest);
    } else {
      insert(*root_, pattern.text(), interest);
    }
  }
  ++size_;
  ++generation_;
}

void InterestIndex::remove(std::uint64_t number, const Filter& filter) {
  for (const Pattern& pattern : filter.patterns()) {
    if (!pattern.is_exact()) {
      erase(*root_, pattern.text(), number);
      continue;
    }
    const auto at = exact_.find(pattern.text());
    TG_CHECK(at != exact_.end(), pattern.text());
    drop(at->second, number);
    if (at->second.empty()) exact_.erase(at);
  }
  --size_;
  ++generation_;
  // Kept results hold pointers; with nobody left there is no reason to keep their memory either.
  if (size_ == 0) {
    cache_.clear();
    cache_bytes_ = 0;
  }
}

void InterestIndex::insert(Node& node, std::string_view rest, const Interest& interest) {
  if (rest.empty()) {
    node.here.push_back(interest);
    return;
  }
  const std::string_view token = next_token(rest);
  if (token == ">") {
    node.rest.push_back(interest);
    return;
  }
  std::unique_ptr<Node>& next = token == "*" ? node.any : node.children[std::string(token)];
  if (!next) next = std::make_unique<Node>();
  insert(*next, rest, interest);
}

void InterestIndex::erase(Node& node, std::string_view rest, std::uint64_t number) {
  if (rest.empty()) {
    drop(node.here, number);
    return;
  }
  const std::string_view token = next_token(rest);
  if (token == ">") {
    drop(node.rest, number);
    return;
  }
  if (token == "*") {
    TG_CHECK(node.any != nullptr);
    erase(*node.any, rest, number);
    if (node.any->is_empty()) node.any.reset();
    return;
  }
  const auto at = node.children.find(token);
  TG_CHECK(at != node.children.end(), token);
  erase(*at->second, rest, number);
  if (at->second->is_empty()) node.children.erase(at);
}

// `wildcards`: false for the first token of a reserved name, which only an exact token matches. The
// recursion is as deep as a name has tokens, which is bounded, and each level visits at most two
// children.
void InterestIndex::collect(const Node& node, std::string_view rest, bool wildcards,
                            Interests& out) {
  if (rest.empty()) {
    out.insert(out.end(), node.here.begin(), node.here.end());
    return;
  }
  if (wildcards) out.insert(out.end(), node.rest.begin(), node.rest.end());
  const std::string_view token = next_token(rest);
  if (wildcards && node.any) collect(*node.any, rest, true, out);
  const auto at = node.children.find(token);
  if (at != node.children.end()) collect(*at->second, rest, true, out);
}

void InterestIndex::find(std::string_view stream, Interests& out) const {
  out.clear();
  const auto exact = exact_.find(stream);
  if (exact != exact_.end()) out = exact->second;
  const bool is_reserved = !stream.empty() && (stream.front() == '_' || stream.front() == '$');
  collect(*root_, stream, !is_reserved, out);
  const auto by_number = [](const Interest& a, const Interest& b) { return a.number < b.number; };
  const auto same = [](const Interest& a, const Interest& b) { return a.number == b.number; };
  std::sort(out.begin(), out.end(), by_number);
  // Two patterns of one filter may match the same stream.
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
}

InterestIndex::Kept& InterestIndex::keep(std::string_view stream) {
  // Starting over costs one look-up per stream that is in use; which ones those are is not worth
  // bookkeeping per event.
  if (cache_bytes_ > kCacheBytesMax) {
    cache_.clear();
    cache_bytes_ = 0;
  }
  Kept& kept = cache_[std::string(stream)];
  cache_bytes_ += cost_of(stream, kept.matches);
  return kept;
}

const std::vector<InterestIndex::Interest>& InterestIndex::match(std::string_view stream) {
  const auto at = cache_.find(stream);
  if (at != cache_.end() && at->second.generation == generation_) return at->second.matches;
  Kept& kept = at != cache_.end() ? at->second : keep(stream);
  cache_bytes_ -= cost_of(stream, kept.matches);
  find(stream, kept.matches);
  kept.generation = generation_;
  cache_bytes_ += cost_of(stream, kept.matches);
  return kept.matches;
}

}  // namespace tidegate
