#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "eventstore/filter.h"
#include "eventstore/segment.h"

namespace tidegate {

// Somebody who wants events as they are dispatched.
// Thread: I/O loop only.
class Interested {
 public:
  virtual ~Interested() = default;
  // An event of a stream that the filter matches; its type is still to be checked. Must not change
  // the index.
  virtual void offer(const SegmentRef& segment, std::size_t index, const RecordView& record) = 0;
};

// From a stream to those whose filter matches it, so that an event costs its matches and not the
// number of subscriptions. Exact names are found by hash, patterns by a trie of tokens, and the
// result is kept per stream until the index changes.
//
// Thread: I/O loop only.
class InterestIndex {
 public:
  struct Interest {
    std::uint64_t number =
        0;  // unique; results are in this order, so that delivery is reproducible
    Interested* who = nullptr;
  };

  InterestIndex();
  ~InterestIndex();
  InterestIndex(const InterestIndex&) = delete;
  InterestIndex& operator=(const InterestIndex&) = delete;

  // `who` must be removed, with the same filter, before it is destroyed.
  void add(std::uint64_t number, Interested& who, const Filter& filter);
  void remove(std::uint64_t number, const Filter& filter);

  // Each match once. Valid until the next call of any function.
  const std::vector<Interest>& match(std::string_view stream);

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  // Of the kept results; at most kCacheBytesMax and one result.
  std::size_t cache_bytes() const { return cache_bytes_; }
  static constexpr std::size_t kCacheBytesMax = std::size_t{8} << 20;

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  template <typename T>
  using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;
  using Interests = std::vector<Interest>;
  struct Node;
  struct Kept {
    Interests matches;
    std::uint64_t generation = 0;
  };

  void insert(Node& node, std::string_view rest, const Interest& interest);
  void erase(Node& node, std::string_view rest, std::uint64_t number);
  static void collect(const Node& node, std::string_view rest, bool wildcards, Interests& out);
  void find(std::string_view stream, Interests& out) const;
  Kept& keep(std::string_view stream);

  TextMap<Interests> exact_;
  std::unique_ptr<Node> root_;
  std::size_t size_ = 0;
  // A kept result of an older generation is made again when it is next asked for.
  std::uint64_t generation_ = 1;
  TextMap<Kept> cache_;
  std::size_t cache_bytes_ = 0;
};

}  // namespace tidegate
