#include "eventstore/dedupe.h"

#include <string>
#include <vector>
#include <xxhash.h>

#include <absl/container/flat_hash_set.h>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

// So many events before one is forgotten, its place in the index is fetched.
constexpr std::size_t kForgottenAhead = 8;

struct Entry {
  DedupeWindow::Key key;
  DedupeWindow::Known known;
};

}  // namespace

struct DedupeWindow::Impl {
  using Place = std::uint32_t;  // in the ring

  // The index holds places alone and finds their keys in the ring: the 16 slots that a look-up may
  // have to see are a line of the cache or two, which `prefetch` covers, and not six.
  struct Hash {
    using is_transparent = void;
    const std::vector<Entry>* ring;
    // A key is a hash already.
    std::size_t operator()(const Key& key) const { return key.low; }
    std::size_t operator()(Place place) const { return (*ring)[place].key.low; }
  };
  struct Equal {
    using is_transparent = void;
    const std::vector<Entry>* ring;
    bool operator()(Place a, Place b) const { return a == b; }
    bool operator()(Place place, const Key& key) const { return (*ring)[place].key == key; }
  };

  explicit Impl(std::size_t most) : events_max(most), index(0, Hash{&ring}, Equal{&ring}) {}

  const std::size_t events_max;
  std::vector<Entry> ring;  // in order of insertion; `next` is the oldest once it is full
  std::size_t next = 0;
  absl::flat_hash_set<Place, Hash, Equal> index;
};

DedupeWindow::DedupeWindow(std::size_t events_max) : impl_(std::make_unique<Impl>(events_max)) {
  TG_CHECK(events_max > 0 && events_max < UINT32_MAX, events_max);
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
  return impl_->ring[*found].known;
}

void DedupeWindow::prefetch(const Key& key) const {
  impl_->index.prefetch(key);
}

void DedupeWindow::insert(const Key& key, const Known& known) {
  Impl& it = *impl_;
  const auto place = static_cast<Impl::Place>(it.next);
  it.next = (it.next + 1) % it.events_max;
  if (it.ring.size() < it.events_max) {
    it.ring.push_back({key, known});
    it.index.insert(place);
    return;
  }
  it.index.erase(place);
  it.ring[place] = {key, known};
  it.index.insert(place);
  prefetch(it.ring[(it.next + kForgottenAhead) % it.events_max].key);
}

}  // namespace tidegate
