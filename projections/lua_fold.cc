#include "projections/lua_fold.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <lua5.4/lua.hpp>

#include "eventstore/base/check.h"
#include "eventstore/base/string_map.h"
#include "eventstore/base/text.h"
#include "projections/definition.h"
#include "projections/lua_event.h"
#include "projections/lua_fingerprint.h"
#include "projections/lua_json.h"
#include "projections/lua_library.h"
#include "projections/lua_sandbox.h"

namespace tidegate {
namespace {

// A loaded script with what belongs to its Lua state.
struct LoadedLuaScript {
  LoadedLuaScript(std::string_view name, const LuaLimits& limits) : sandbox(name, limits) {}

  LuaSandbox sandbox;
  LuaFingerprint fingerprint;
  LuaJson json;
  LuaEvent event{json};
  // References in Lua's registry; LUA_NOREF for what the script does not define.
  int handlers = LUA_NOREF;
  int init = LUA_NOREF;
  int key = LUA_NOREF;
  int states = LUA_NOREF;      // list of the states of rows, by slot
  std::size_t idle_bytes = 0;  // that it holds without rows
};

// Rows are Lua tables while they are in memory, in a list that the script cannot reach. Each event
// is one protected call (`fold_event`), so that an error anywhere in it unwinds no frame of ours.
class LuaFold final : public Fold {
 public:
  LuaFold(std::string name, std::string source, const LuaLimits& limits)
      : name_(std::move(name)), source_(std::move(source)), limits_(limits) {}

  // Makes a fresh Lua state with the script and no rows.
  Status load();

  Status apply(const RecordView& event, RowSource& rows) override;
  Result<std::vector<RowChange>> take_changes() override;
  void forget() override;
  std::size_t changed_rows() const override { return changed_.size(); }
  std::size_t bytes() const override;

 private:
  struct CachedRow {
    lua_Integer slot = 0;  // 0: none yet
    Sequence sequence = 0;
    std::size_t longest_text = 0;
    bool is_there = false;
    bool is_changed = false;
  };
  using Rows = StringMap<CachedRow>;

  // What runs in Lua; the argument is the fold. All raise.
  static int read_script(lua_State* lua);
  static int fold_event(lua_State* lua);
  static int encode_changes(lua_State* lua);
  static int compare_fingerprint(lua_State* lua);
  static int drop_states(lua_State* lua);

  void read_function(lua_State* lua, const char* name, int& reference);
  void read_handlers(lua_State* lua);
  bool push_handler(lua_State* lua);
  bool push_key(lua_State* lua);
  Rows::value_type& find_row(lua_State* lua);
  void push_state(lua_State* lua, Rows::value_type& row);
  void push_new_state(lua_State* lua);
  void keep_result(lua_State* lua, Rows::value_type& row);
  void keep_state(lua_State* lua, CachedRow& row);
  void remember_change(Rows::value_type& row);
  void check_fingerprint(lua_State* lua);

  // Null: `read_failure_` says why.
  Rows::value_type* find_or_read(std::string_view key);
  Status run(LuaSandbox::Function function);

  const std::string name_;
  const std::string source_;
  const LuaLimits limits_;
  std::unique_ptr<LoadedLuaScript> script_;
  // After a failure only `forget` makes it usable, with a fresh Lua state: nobody knows what the
  // script had changed by then.
  bool is_broken_ = false;
  std::optional<Error> pending_failure_;  // found by `forget`, for the next call

  Rows rows_;
  std::size_t key_bytes_ = 0;
  lua_Integer last_slot_ = 0;
  std::vector<Rows::value_type*> changed_;
  std::vector<RowChange> changes_;

  // Of the event that is folded.
  RowSource* source_of_rows_ = nullptr;
  std::optional<Error> read_failure_;
  std::string document_;  // of the row, when it was just read
};

// Positions on Lua's stack while an event is folded.
constexpr int kLuaHandlerAt = 2;
constexpr int kLuaEventAt = 3;
constexpr int kLuaKeyAt = 4;
constexpr int kLuaStateAt = 5;
constexpr int kLuaResultAt = 6;

LuaFold& lua_fold_argument(lua_State* lua) {
  return *static_cast<LuaFold*>(lua_touserdata(lua, 1));
}

Status LuaFold::load() {
  script_.reset();  // two at once would take twice the memory
  script_ = std::make_unique<LoadedLuaScript>(name_, limits_);
  is_broken_ = true;
  auto loaded = script_->sandbox.load(source_);
  if (!loaded) return loaded;
  auto read = script_->sandbox.run(&LuaFold::read_script, this, Code::kBadArgument);
  if (!read) return read;
  // Nothing of what loading left behind is counted as a row later.
  lua_gc(script_->sandbox.lua(), LUA_GCCOLLECT);
  script_->idle_bytes = script_->sandbox.meter().held();
  is_broken_ = false;
  return {};
}

int LuaFold::read_script(lua_State* lua) {
  LuaFold& fold = lua_fold_argument(lua);
  LoadedLuaScript& script = *fold.script_;
  script.sandbox.push_globals();
  fold.read_function(lua, "init", script.init);
  fold.read_function(lua, "key", script.key);
  fold.read_handlers(lua);
  script.fingerprint.take(lua);
  script.json.attach(lua, script.fingerprint);
  script.event.attach(lua);
  lua_newtable(lua);
  script.states = luaL_ref(lua, LUA_REGISTRYINDEX);
  return 0;
}

// A function among the globals on the top, which need not be there.
void LuaFold::read_function(lua_State* lua, const char* name, int& reference) {
  const int type = lua_getfield(lua, -1, name);
  if (type == LUA_TFUNCTION) {
    reference = luaL_ref(lua, LUA_REGISTRYINDEX);
    return;
  }
  if (type != LUA_TNIL) {
    luaL_error(lua, "'%s' is a %s; it must be a function", name, lua_typename(lua, type));
  }
  lua_pop(lua, 1);
}

void LuaFold::read_handlers(lua_State* lua) {
  if (lua_getfield(lua, -1, "on") != LUA_TTABLE) {
    luaL_error(lua,
               "the script has no table 'on'; add on = {} and on[\"event.type\"] = function "
               "(state, event) ... end");
  }
  bool has_any = false;
  lua_pushnil(lua);
  while (lua_next(lua, -2) != 0) {
    if (lua_type(lua, -2) != LUA_TSTRING || lua_type(lua, -1) != LUA_TFUNCTION) {
      luaL_error(lua, "'on' holds a %s under a %s; it must hold functions by event type",
                 luaL_typename(lua, -1), luaL_typename(lua, -2));
    }
    has_any = true;
    lua_pop(lua, 1);
  }
  if (!has_any) luaL_error(lua, "'on' has no handler; add on[\"*\"] for events of every type");
  script_->handlers = luaL_ref(lua, LUA_REGISTRYINDEX);
}

Status LuaFold::run(LuaSandbox::Function function) {
  auto status = script_->sandbox.run(function, this, Code::kBadEvent);
  if (!status) is_broken_ = true;
  return status;
}

// ------------------------------------------------------------------------------------------- apply

Status LuaFold::apply(const RecordView& event, RowSource& rows) {
  if (pending_failure_) return *pending_failure_;
  TG_CHECK(!is_broken_);
  script_->event.begin(event);
  source_of_rows_ = &rows;
  read_failure_.reset();
  auto status = run(&LuaFold::fold_event);
  source_of_rows_ = nullptr;
  if (read_failure_) return *read_failure_;
  return status;
}

int LuaFold::fold_event(lua_State* lua) {
  LuaFold& fold = lua_fold_argument(lua);
  LuaEvent& event = fold.script_->event;
  if (!fold.push_handler(lua)) return 0;
  event.push(lua);
  if (!fold.push_key(lua)) return 0;
  Rows::value_type& row = fold.find_row(lua);
  fold.push_state(lua, row);
  fold.script_->sandbox.meter().note_text(row.second.longest_text);
  lua_pushvalue(lua, kLuaHandlerAt);
  lua_pushvalue(lua, kLuaStateAt);
  lua_pushvalue(lua, kLuaEventAt);
  LuaSandbox::call_script(lua, 2, 1);
  fold.keep_result(lua, row);
  return 0;
}

bool LuaFold::push_handler(lua_State* lua) {
  const std::string_view type = script_->event.record().type;
  lua_rawgeti(lua, LUA_REGISTRYINDEX, script_->handlers);
  lua_pushlstring(lua, type.data(), type.size());
  if (lua_rawget(lua, -2) == LUA_TNIL) {
    lua_pop(lua, 1);
    lua_pushstring(lua, "*");
    if (lua_rawget(lua, -2) == LUA_TNIL) return false;
  }
  lua_remove(lua, -2);
  return true;
}

// False: the event is left out.
bool LuaFold::push_key(lua_State* lua) {
  if (script_->key == LUA_NOREF) {
    lua_pushstring(lua, "all");
    return true;
  }
  lua_rawgeti(lua, LUA_REGISTRYINDEX, script_->key);
  lua_pushvalue(lua, kLuaEventAt);
  LuaSandbox::call_script(lua, 1, 1);
  const int type = lua_type(lua, kLuaKeyAt);
  if (type == LUA_TNIL) return false;
  if (type != LUA_TSTRING) {
    luaL_error(lua,
               "key returned a %s; it must return text (use tostring), or nil to leave the "
               "event out",
               lua_typename(lua, type));
  }
  return true;
}

LuaFold::Rows::value_type& LuaFold::find_row(lua_State* lua) {
  std::size_t bytes = 0;
  const char* const key = lua_tolstring(lua, kLuaKeyAt, &bytes);
  if (bytes > kRowKeyBytesMax) {
    luaL_error(lua, "key returned %d bytes; a row's key has at most %d", static_cast<int>(bytes),
               static_cast<int>(kRowKeyBytesMax));
  }
  if (!is_valid_utf8({key, bytes})) luaL_error(lua, "key returned text that is not UTF-8");
  Rows::value_type* const row = find_or_read({key, bytes});
  if (row == nullptr) luaL_error(lua, "the row cannot be read");
  return *row;
}

// No call of Lua in here: it has locals with destructors.
LuaFold::Rows::value_type* LuaFold::find_or_read(std::string_view key) {
  document_.clear();
  const auto found = rows_.find(key);
  if (found != rows_.end()) return &*found;
  auto stored = source_of_rows_->find(key);
  if (!stored) {
    read_failure_ = stored.error();
    return nullptr;
  }
  Rows::value_type& row = *rows_.emplace(key, CachedRow{}).first;
  key_bytes_ += key.size();
  if (stored->has_value()) {
    row.second.is_there = true;
    document_ = std::move((*stored)->document);
  }
  return &row;
}

void LuaFold::push_state(lua_State* lua, Rows::value_type& row) {
  if (!row.second.is_there) {
    push_new_state(lua);
  } else if (document_.empty()) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, script_->states);
    lua_rawgeti(lua, -1, row.second.slot);
    lua_remove(lua, -2);
  } else {
    script_->json.push(lua, document_);
    row.second.longest_text = script_->json.longest_text();
    if (!lua_istable(lua, -1))
      luaL_error(lua, "the stored row is no table; rebuild the projection");
    keep_state(lua, row.second);
  }
}

void LuaFold::push_new_state(lua_State* lua) {
  if (script_->init == LUA_NOREF) {
    lua_newtable(lua);
    return;
  }
  lua_rawgeti(lua, LUA_REGISTRYINDEX, script_->init);
  LuaSandbox::call_script(lua, 0, 1);
  if (!lua_istable(lua, -1)) {
    luaL_error(lua, "init returned a %s; it must return a table", luaL_typename(lua, -1));
  }
  // It may return a constant, which the handler must not change.
  script_->json.settle(lua, -1);
}

// What the handler returned becomes the row.
void LuaFold::keep_result(lua_State* lua, Rows::value_type& row) {
  if (is_lua_constant(lua, kLuaResultAt, LuaConstant::kDelete)) {
    if (!row.second.is_there) return;
    lua_pushnil(lua);
    keep_state(lua, row.second);
    row.second.is_there = false;
    row.second.longest_text = 0;
    remember_change(row);
    return;
  }
  if (lua_isnil(lua, kLuaResultAt)) {
    lua_pushvalue(lua, kLuaStateAt);
    lua_replace(lua, kLuaResultAt);
  }
  if (!lua_istable(lua, kLuaResultAt)) {
    luaL_error(lua, "the handler returned a %s; it must return the state, `delete` or nothing",
               luaL_typename(lua, kLuaResultAt));
  }
  script_->json.settle(lua, kLuaResultAt);
  row.second.longest_text = script_->json.longest_text();
  keep_state(lua, row.second);
  row.second.is_there = true;
  remember_change(row);
}

// Puts the value on the top into the row's slot, and leaves it there.
void LuaFold::keep_state(lua_State* lua, CachedRow& row) {
  if (row.slot == 0) row.slot = ++last_slot_;
  lua_rawgeti(lua, LUA_REGISTRYINDEX, script_->states);
  lua_pushvalue(lua, -2);
  lua_rawseti(lua, -2, row.slot);
  lua_pop(lua, 1);
}

void LuaFold::remember_change(Rows::value_type& row) {
  row.second.sequence = script_->event.record().sequence;
  if (row.second.is_changed) return;
  row.second.is_changed = true;
  changed_.push_back(&row);
}

// ------------------------------------------------------------------------------------ take, forget

Result<std::vector<RowChange>> LuaFold::take_changes() {
  if (pending_failure_) return *pending_failure_;
  TG_CHECK(!is_broken_);
  std::sort(changed_.begin(), changed_.end(),
            [](const auto* left, const auto* right) { return left->first < right->first; });
  changes_.clear();
  changes_.reserve(changed_.size());
  for (const Rows::value_type* row : changed_) {
    changes_.push_back({Row{row->first, "", row->second.sequence}, ""});
  }
  auto encoded = run(&LuaFold::encode_changes);
  if (!encoded) return encoded.error();
  for (Rows::value_type* row : changed_) row->second.is_changed = false;
  changed_.clear();
  return std::exchange(changes_, {});
}

int LuaFold::encode_changes(lua_State* lua) {
  LuaFold& fold = lua_fold_argument(lua);
  fold.check_fingerprint(lua);
  lua_rawgeti(lua, LUA_REGISTRYINDEX, fold.script_->states);
  for (std::size_t i = 0; i < fold.changed_.size(); ++i) {
    const CachedRow& row = fold.changed_[i]->second;
    if (!row.is_there) continue;
    std::string& document = fold.changes_[i].row.document;
    lua_rawgeti(lua, -1, row.slot);
    fold.script_->json.append(lua, -1, document);
    lua_pop(lua, 1);
    if (document.size() > kRowDocumentBytesMax) {
      luaL_error(lua, "row '%s' has %d bytes as JSON, and %d are the most; keep less in it",
                 fold.changed_[i]->first.c_str(), static_cast<int>(document.size()),
                 static_cast<int>(kRowDocumentBytesMax));
    }
  }
  return 0;
}

void LuaFold::check_fingerprint(lua_State* lua) {
  const std::string& changed = script_->fingerprint.changed(lua);
  if (changed.empty()) return;
  luaL_error(lua,
             "the script remembers something outside of the rows: %s changed while events were "
             "folded; keep it in the row's state",
             changed.c_str());
}

int LuaFold::compare_fingerprint(lua_State* lua) {
  lua_fold_argument(lua).check_fingerprint(lua);
  return 0;
}

int LuaFold::drop_states(lua_State* lua) {
  LuaFold& fold = lua_fold_argument(lua);
  lua_newtable(lua);
  lua_rawseti(lua, LUA_REGISTRYINDEX, fold.script_->states);
  return 0;
}

void LuaFold::forget() {
  // What a script remembered besides the rows stays behind when they go: that they differ then is
  // found now or never.
  pending_failure_.reset();
  if (!is_broken_) {
    auto unchanged = run(&LuaFold::compare_fingerprint);
    if (!unchanged) pending_failure_ = unchanged.error();
  }
  rows_.clear();
  key_bytes_ = 0;
  last_slot_ = 0;
  changed_.clear();
  changes_.clear();
  if (!is_broken_) {
    auto dropped = run(&LuaFold::drop_states);
    if (dropped) lua_gc(script_->sandbox.lua(), LUA_GCCOLLECT);
  }
  if (!is_broken_) return;
  auto loaded = load();
  if (!loaded && !pending_failure_) pending_failure_ = loaded.error();
}

std::size_t LuaFold::bytes() const {
  // Of an entry of the map with a short key, besides what Lua holds.
  constexpr std::size_t kEntryBytes = 120;
  const std::size_t held = script_->sandbox.meter().held();
  const std::size_t in_lua = held > script_->idle_bytes ? held - script_->idle_bytes : 0;
  return in_lua + key_bytes_ + rows_.size() * kEntryBytes;
}

}  // namespace

Result<std::unique_ptr<Fold>> make_lua_fold(const Definition& definition, const LuaLimits& limits) {
  const Script* const script = std::get_if<Script>(&definition.fold);
  TG_CHECK(script != nullptr);
  auto fold = std::make_unique<LuaFold>(definition.name, script->source, limits);
  auto loaded = fold->load();
  if (!loaded) return loaded.error();
  return std::unique_ptr<Fold>(std::move(fold));
}

}  // namespace tidegate
