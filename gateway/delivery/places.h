#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>

#include "eventstore/base/guarded.h"

namespace tidegate {

// At most so many of something for each key: connections of an address, for example. A place is
// given back when what `take` returned is destroyed, also after the Places itself.
// Thread: any (internally synchronised).
template <typename Key, typename Hash = std::hash<Key>>
class Places {
 public:
  using Place = std::shared_ptr<const void>;

  // 0: any number.
  explicit Places(std::size_t max) : max_(max) {}

  // Null when all are taken.
  Place take(const Key& key) {
    const bool has_room = taken_->with([&](Taken& taken) {
      std::size_t& count = taken[key];
      if (max_ != 0 && count >= max_) return false;
      ++count;
      return true;
    });
    if (!has_room) return nullptr;
    return Place(this, [all = taken_, key](const void*) {
      all->with([&key](Taken& taken) {
        const auto found = taken.find(key);
        if (--found->second == 0) taken.erase(found);
      });
    });
  }

 private:
  using Taken = std::unordered_map<Key, std::size_t, Hash>;

  const std::size_t max_;
  const std::shared_ptr<Guarded<Taken>> taken_ = std::make_shared<Guarded<Taken>>();
};

}  // namespace tidegate
