#include "eventstore/dedupe.h"

#include <string>
#include <vector>
#include <xxhash.h>

#include <absl/container/flat_hash_map.h>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

// The key is a hash already.
struct HashOfKey {
  std::size_t operator()(const DedupeWindow::Key& key) const { return key.low; }
};

// So many events before one is forgotten, its place in the index is fetched.
constexpr std::size_t kForgottenAhead = 8;

struct Entry {
  DedupeWindow::Key key;
  DedupeWindow::Known known;
};

}  // namespace

struct DedupeWindow::Impl {
  std::size_t events_max = 0;
  std::vector<Entry> ring;  // in order of insertion; `next` is the oldest once it is full
  std::size_t next = 0;
  absl::flat_hash_map<Key, std::uint32_t, HashOfKey> index;  // key -> place in the ring
};

DedupeWindow::DedupeWindow(std::size_t events_max) : impl_(std::make_unique<Impl>()) {
  TG_CHECK(events_max > 0 && events_max < UINT32_MAX, events_max);
  impl_->events_max = events_max;
  // Growing by rehashing would cost a tenth of the appender's time until the window is full.
  impl_->ring.reserve(events_max);
  impl_->index.reserve(events_max);
}

DedupeWindow::~DedupeWindow() = default;

DedupeWindow::Key DedupeWindow::key_of(std::string_view stream, std::string_view source,
                                       std::string_view id) {
  // NUL separates: none of the three contains one.
  thread_local std::string text;
  text.assign(stream);
  text += '\0';
  text.append(source);
  text += '\0';
  text.append(id);
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.low64, hash.high64};
}

std::uint64_t DedupeWindow::content_of(std::string_view event) {
  return XXH3_64bits(event.data(), event.size());
}

std::optional<DedupeWindow::Known> DedupeWindow::find(const Key& key) const {
  const auto found = impl_->index.find(key);
  if (found == impl_->index.end()) return std::nullopt;
  return impl_->ring[found->second].known;
}

void DedupeWindow::prefetch(const Key& key) const {
  impl_->index.prefetch(key);
}

void DedupeWindow::insert(const Key& key, const Known& known) {
  if (impl_->ring.size() < impl_->events_max) {
    impl_->index.emplace(key, static_cast<std::uint32_t>(impl_->ring.size()));
    impl_->ring.push_back({key, known});
    return;
  }
  impl_->index.erase(impl_->ring[impl_->next].key);
  impl_->index.emplace(key, static_cast<std::uint32_t>(impl_->next));
  impl_->ring[impl_->next] = {key, known};
  impl_->next = (impl_->next + 1) % impl_->events_max;
  prefetch(impl_->ring[(impl_->next + kForgottenAhead) % impl_->events_max].key);
}

}  // namespace tidegate
