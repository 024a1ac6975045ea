#include "eventstore/cursors.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "eventstore/keys.h"
#include "eventstore/storage.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {

std::string encode_cursor(const CursorState& state) {
  storage::v1::CursorRow row;
  row.set_log_id(std::string(state.position.log.text()));
  row.set_sequence(state.position.sequence);
  row.set_check(state.position.check);
  row.set_acknowledged_time_us(state.acknowledged_time_us);
  row.set_generation(state.generation);
  row.set_lapsed_from_sequence(state.lapsed_from);
  return row.SerializeAsString();
}

Result<CursorState> decode_cursor(std::string_view value) {
  storage::v1::CursorRow row;
  const bool parsed = row.ParseFromArray(value.data(), static_cast<int>(value.size()));
  auto log = LogId::parse(row.log_id());
  if (!parsed || !log)
    return Error{Code::kDataLoss, "a cursor's row is damaged; seek it to repair it"};
  CursorState state;
  state.position = {*log, row.sequence(), row.check()};
  state.acknowledged_time_us = row.acknowledged_time_us();
  state.generation = row.generation();
  state.lapsed_from = row.lapsed_from_sequence();
  return state;
}

Cursors::Cursors(Storage& storage, Clock& clock) : storage_(storage), clock_(clock) {}

Result<std::optional<CursorState>> Cursors::read(std::string_view owner,
                                                 std::string_view name) const {
  auto value = storage_.get(Family::kCursors, cursor_key(owner, name));
  if (!value) return std::move(value).error();
  if (!value->has_value()) return std::optional<CursorState>();
  auto state = decode_cursor(**value);
  if (!state) return std::move(state).error();
  return std::optional<CursorState>(*std::move(state));
}

Result<OpenedCursor> Cursors::open(std::string_view owner, std::string_view name,
                                   std::function<void()> taken_over) {
  const Key key{std::string(owner), std::string(name)};
  // Read outside the lock; an entry that appears meanwhile is newer and wins below.
  auto stored = read(owner, name);
  if (!stored) return std::move(stored).error();
  OpenedCursor opened;
  std::function<void()> former;
  std::function<void()> wake;
  state_.with([&](State& state) {
    auto [place, is_new] = state.open.try_emplace(key);
    Open& cursor = place->second;
    if (is_new) {
      cursor.state = *stored;
      cursor.generation = stored->has_value() ? (*stored)->generation : 0;
    }
    former = std::exchange(cursor.taken_over, std::move(taken_over));
    cursor.waiting.clear();
    cursor.held = true;
    opened.generation = ++cursor.generation;
    opened.state = cursor.state;
    // A loss is told once, also across restarts.
    if (cursor.state && std::exchange(cursor.state->lapsed_from, 0) != 0)
      wake = mark_dirty(state, *place);
  });
  if (wake) wake();
  if (former) former();
  return opened;
}

void Cursors::close(std::string_view owner, std::string_view name, std::uint64_t generation) {
  state_.with([&](State& state) {
    const auto place = state.open.find(Key{std::string(owner), std::string(name)});
    if (place == state.open.end() || place->second.generation != generation) return;
    place->second.held = false;
    place->second.taken_over = nullptr;
    place->second.waiting.clear();
    forget_if_idle(state, place);
  });
}

// The map holds only cursors that are open or not yet written.
void Cursors::forget_if_idle(State& state, std::map<Key, Open>::iterator place) {
  const Open& cursor = place->second;
  if (!cursor.held && !cursor.dirty && !cursor.writing) state.open.erase(place);
}

// Returns what to call, outside the lock, when the appender must be woken.
std::function<void()> Cursors::mark_dirty(State& state, std::pair<const Key, Open>& cursor) {
  if (std::exchange(cursor.second.dirty, true)) return nullptr;
  state.dirty.push_back(cursor.first);
  return state.dirty.size() == 1 ? state.wake : nullptr;
}

bool Cursors::acknowledge(std::string_view owner, std::string_view name, std::uint64_t generation,
                          const Position& position, CursorDone done) {
  const std::int64_t now = clock_.wall_us();
  std::function<void()> wake;
  const bool taken = state_.with([&](State& state) {
    const auto place = state.open.find(Key{std::string(owner), std::string(name)});
    if (place == state.open.end() || place->second.generation != generation) return false;
    Open& cursor = place->second;
    const bool moves = !cursor.state || position.sequence > cursor.state->position.sequence ||
                       cursor.state->position.log != position.log;
    if (moves) cursor.state = CursorState{position, now, generation, 0};
    if (done) cursor.waiting.push_back(std::move(done));
    wake = mark_dirty(state, *place);
    return true;
  });
  if (wake) wake();
  return taken;
}

Result<std::optional<CursorState>> Cursors::find(std::string_view owner,
                                                 std::string_view name) const {
  auto open = state_.with([&](const State& state) -> std::optional<std::optional<CursorState>> {
    const auto place = state.open.find(Key{std::string(owner), std::string(name)});
    if (place == state.open.end()) return std::nullopt;
    return place->second.state;
  });
  if (open) return *std::move(open);
  return read(owner, name);
}

Result<std::vector<NamedCursor>> Cursors::list(std::string_view owner, std::string_view prefix,
                                               std::string_view after_name,
                                               std::size_t limit) const {
  // What is stored, overlaid with what is open: both in name order.
  std::map<std::string, CursorState> found;
  const std::string first = cursor_key(owner, prefix);
  const auto rows = storage_.iterate(Family::kCursors, {.lower = first});
  for (rows->seek(after_name < prefix ? first : cursor_key(owner, after_name) + '\0');
       rows->is_valid() && found.size() < limit; rows->next()) {
    if (cursor_owner(rows->key()) != owner || !cursor_name(rows->key()).starts_with(prefix)) break;
    auto state = decode_cursor(rows->value());
    if (!state) return std::move(state).error();
    found.emplace(cursor_name(rows->key()), *state);
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  state_.with([&](const State& state) {
    const std::string start(std::max(prefix, after_name));
    for (auto place = state.open.lower_bound(Key{std::string(owner), start});
         place != state.open.end(); ++place) {
      const auto& [key, cursor] = *place;
      if (key.first != owner || !key.second.starts_with(prefix)) break;
      if (key.second != after_name && cursor.state) found[key.second] = *cursor.state;
    }
  });
  std::vector<NamedCursor> cursors;
  for (auto& [name, state] : found) {
    if (cursors.size() == limit) break;
    cursors.push_back({name, state});
  }
  return cursors;
}

std::function<void()> Cursors::end_generation(const Key& key, std::optional<CursorState> next) {
  return state_.with([&](State& state) -> std::function<void()> {
    const auto place = state.open.find(key);
    if (place == state.open.end()) return nullptr;
    Open& cursor = place->second;
    ++cursor.generation;
    cursor.state = std::move(next);
    cursor.held = false;
    cursor.waiting.clear();
    // What was about to be written is overtaken. A write under way ends before this change is
    // written: both are the appender's, or wait for it.
    if (std::exchange(cursor.dirty, false)) std::erase(state.dirty, key);
    auto former = std::exchange(cursor.taken_over, nullptr);
    forget_if_idle(state, place);
    return former;
  });
}

Result<CursorState> Cursors::seek(std::string_view owner, std::string_view name,
                                  const Position& position) {
  const std::lock_guard turn(write_turn_);
  auto before = find(owner, name);
  if (!before) return std::move(before).error();
  const Key key{std::string(owner), std::string(name)};
  CursorState next{position, clock_.wall_us(), before->has_value() ? (*before)->generation + 1 : 1,
                   0};
  const std::uint64_t open_generation = state_.with([&](const State& state) {
    const auto place = state.open.find(key);
    return place == state.open.end() ? 0 : place->second.generation + 1;
  });
  next.generation = std::max(next.generation, open_generation);
  const auto former = end_generation(key, next);
  StorageBatch batch(storage_);
  batch.put(Family::kCursors, cursor_key(owner, name), encode_cursor(next));
  auto written = storage_.write_synced(batch);
  if (former) former();
  if (!written) return std::move(written).error();
  return next;
}

Status Cursors::remove(std::string_view owner, std::string_view name) {
  const std::lock_guard turn(write_turn_);
  auto before = find(owner, name);
  if (!before) return std::move(before).error();
  if (!before->has_value()) {
    return Error{Code::kNotFound, fmt::format("there is no cursor '{}'", name)};
  }
  const auto former = end_generation({std::string(owner), std::string(name)}, std::nullopt);
  StorageBatch batch(storage_);
  batch.remove(Family::kCursors, cursor_key(owner, name));
  auto written = storage_.write_synced(batch);
  if (former) former();
  return written;
}

void Cursors::set_wake(std::function<void()> wake) {
  state_.with([&](State& state) { state.wake = std::move(wake); });
}

bool Cursors::has_pending() const {
  return state_.with([](const State& state) { return !state.dirty.empty(); });
}

std::vector<Cursors::PendingWrite> Cursors::take_pending() {
  return state_.with([](State& state) {
    std::vector<PendingWrite> writes;
    for (const Key& key : state.dirty) {
      Open& cursor = state.open.at(key);
      cursor.dirty = false;
      cursor.writing = true;
      writes.push_back({key.first, key.second, *cursor.state, cursor.generation,
                        std::exchange(cursor.waiting, {})});
    }
    state.dirty.clear();
    return writes;
  });
}

void Cursors::put(StorageBatch& batch, const std::vector<PendingWrite>& writes) {
  for (const PendingWrite& write : writes) {
    batch.put(Family::kCursors, cursor_key(write.owner, write.name), encode_cursor(write.state));
  }
}

void Cursors::written(std::vector<PendingWrite> writes) {
  for (PendingWrite& write : writes) {
    const bool current = state_.with([&](State& state) {
      const auto place = state.open.find(Key{write.owner, write.name});
      TG_CHECK(place != state.open.end(), write.name);  // `writing` keeps it
      place->second.writing = false;
      const bool same = place->second.generation == write.generation;
      forget_if_idle(state, place);
      return same;
    });
    if (!current) continue;
    for (const CursorDone& done : write.done) done(write.state.position);
  }
}

}  // namespace tidegate
