// A random definition over random events makes the rows that a slow model of its own makes,
// wherever the fold commits, forgets, or loses what it had not committed.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "projections/definition.h"
#include "projections/fold.h"
#include "tests/cloudevents/random_input.h"
#include "tests/projections/folded_event.h"

// The model's words are its own.
namespace tidegate::test::declarative_model {
namespace {

std::string double_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// Null: the member is there and null. Nothing: it is absent.
template <typename Value>
struct Member {
  bool is_absent = true;
  std::optional<Value> value;
};

struct ModelEvent {
  std::size_t type = 0;
  std::size_t stream = 0;
  Member<std::int64_t> n;
  Member<double> x;  // a multiple of 0.5, so that sums are exact
  Member<std::string> s;
  Member<std::map<std::string, std::optional<std::int64_t>>> patch;
};

enum class What {
  kCount,
  kSumN,
  kSumX,
  kAvgN,
  kAvgX,
  kMinN,
  kMaxX,
  kMinS,
  kFirstS,
  kLastN,
  kSetS,
  kAppendN,
  kAppendBoth,
  kMerge
};
constexpr std::size_t kWhats = 14;
constexpr std::string_view kRuleTexts[kWhats] = {
    "{ count = true }",
    "{ sum = \"/n\" }",
    "{ sum = \"/x\" }",
    "{ avg = \"/n\" }",
    "{ avg = \"/x\" }",
    "{ min = \"/n\" }",
    "{ max = \"/x\" }",
    "{ min = \"/s\" }",
    "{ first = \"/s\" }",
    "{ last = \"/n\" }",
    "{ set = \"/s\" }",
    "{ append = \"/n\", keep = 3 }",
    "{ append = { n = \"/n\", s = \"/s\" }, keep = 2 }",
    "{ merge = \"/patch\" }",
};

struct ModelField {
  bool is_set = false;
  std::int64_t total = 0;
  double real = 0;
  std::int64_t count = 0;
  std::string text;  // as JSON, or for the least text itself
  std::vector<std::string> list;
  std::map<std::string, std::int64_t> merged;
};

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

template <typename Value>
std::string shown(const Member<Value>& member) {
  if (!member.value) return "null";
  if constexpr (std::is_same_v<Value, std::string>) return quoted(*member.value);
  if constexpr (std::is_same_v<Value, std::int64_t>) return std::to_string(*member.value);
  if constexpr (std::is_same_v<Value, double>) return double_text(*member.value);
}

void push(ModelField& field, std::string item, std::size_t keep) {
  field.is_set = true;
  field.list.push_back(std::move(item));
  if (field.list.size() > keep) field.list.erase(field.list.begin());
}

void fold_number(What what, const ModelEvent& event, ModelField& field) {
  const bool is_real = what == What::kSumX || what == What::kAvgX || what == What::kMaxX;
  if (is_real ? !event.x.value : !event.n.value) return;
  const double x = is_real ? *event.x.value : 0;
  const std::int64_t n = is_real ? 0 : *event.n.value;
  if (what == What::kMinN) {
    field.total = field.is_set ? std::min(field.total, n) : n;
  } else if (what == What::kMaxX) {
    field.real = field.is_set ? std::max(field.real, x) : x;
  } else {
    field.total += n;
    field.real += x;
    ++field.count;
  }
  field.is_set = true;
}

void fold_model(What what, const ModelEvent& event, ModelField& field) {
  const std::string s = event.s.value.value_or("");
  switch (what) {
    case What::kCount:
      ++field.count;
      field.is_set = true;
      return;
    case What::kMinS:
      if (event.s.value && (!field.is_set || s < field.text)) field.text = s;
      field.is_set = field.is_set || event.s.value;
      return;
    case What::kFirstS:
      if (event.s.value && !field.is_set) field.text = quoted(s);
      field.is_set = field.is_set || event.s.value;
      return;
    case What::kLastN:
      if (event.n.value) field.text = std::to_string(*event.n.value);
      field.is_set = field.is_set || event.n.value;
      return;
    case What::kSetS:
      if (event.s.is_absent) return;
      field.text = shown(event.s);
      field.is_set = true;
      return;
    case What::kAppendN:
      if (event.n.value) push(field, shown(event.n), 3);
      return;
    case What::kAppendBoth:
      return push(field, "{\"n\":" + shown(event.n) + ",\"s\":" + shown(event.s) + "}", 2);
    case What::kMerge:
      if (!event.patch.value) return;
      field.is_set = true;
      for (const auto& [name, value] : *event.patch.value) {
        field.merged.erase(name);
        if (value) field.merged[name] = *value;
      }
      return;
    default:
      return fold_number(what, event, field);
  }
}

std::string rendered(What what, const ModelField& field) {
  switch (what) {
    case What::kCount:
      return std::to_string(field.count);
    case What::kSumN:
    case What::kMinN:
      return std::to_string(field.total);
    case What::kSumX:
    case What::kMaxX:
      return double_text(field.real);
    case What::kAvgN:
      return double_text(static_cast<double>(field.total) / static_cast<double>(field.count));
    case What::kAvgX:
      return double_text(field.real / static_cast<double>(field.count));
    case What::kMinS:
      return quoted(field.text);
    case What::kAppendN:
    case What::kAppendBoth:
      return fmt::format("[{}]", fmt::join(field.list, ","));
    case What::kMerge: {
      std::string out;
      for (const auto& [name, value] : field.merged) {
        out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", name, value);
      }
      return "{" + out + "}";
    }
    default:
      return field.text;
  }
}

// A random definition, and what it means.
struct ModelDefinition {
  static constexpr std::size_t kTypes = 3;
  std::string text;
  bool is_keyed_by_text = false;
  std::vector<What> fields;                // named f0, f1, ..
  std::vector<std::size_t> rules[kTypes];  // fields that the type changes
  std::optional<std::size_t> deleting;     // a type

  explicit ModelDefinition(RandomInput& random) : is_keyed_by_text(random.chance(3)) {
    for (std::size_t i = 1 + random.below(9); i > 0; --i) {
      fields.push_back(static_cast<What>(random.below(kWhats)));
    }
    if (random.chance(2)) deleting = random.below(kTypes);
    text = "name = \"random\"\nstreams = [\">\"]\n";
    text += is_keyed_by_text ? "key = \"k{/s}\"\n" : "key = \"k{stream[1]}\"\n";
    for (std::size_t type = 0; type < kTypes; ++type) {
      if (type == deleting) {
        text += fmt::format("[on.t{}]\ndelete = true\n", type);
        continue;
      }
      std::string lines;
      for (std::size_t field = 0; field < fields.size(); ++field) {
        if (random.chance(3)) continue;
        rules[type].push_back(field);
        lines +=
            fmt::format("f{} = {}\n", field, kRuleTexts[static_cast<std::size_t>(fields[field])]);
      }
      if (!lines.empty()) text += fmt::format("[on.t{}]\n{}", type, lines);
    }
    if (text.find("[on.") == std::string::npos) {
      rules[0] = {0};
      deleting.reset();
      text += fmt::format("[on.t0]\nf0 = {}\n", kRuleTexts[static_cast<std::size_t>(fields[0])]);
    }
  }
};

class Model {
 public:
  explicit Model(const ModelDefinition& definition) : definition_(definition) {}

  void apply(const ModelEvent& event, Sequence sequence) {
    if (definition_.is_keyed_by_text && !event.s.value) return;
    const std::string key =
        "k" + (definition_.is_keyed_by_text ? *event.s.value : std::to_string(event.stream));
    if (definition_.deleting == event.type) {
      if (rows_.erase(key) > 0) sequences_[key] = sequence;
      return;
    }
    if (definition_.rules[event.type].empty()) return;
    auto& fields = rows_[key];
    fields.resize(definition_.fields.size());
    sequences_[key] = sequence;
    for (const std::size_t field : definition_.rules[event.type]) {
      fold_model(definition_.fields[field], event, fields[field]);
    }
  }

  std::map<std::string, std::string> documents() const {
    std::map<std::string, std::string> documents;
    for (const auto& [key, fields] : rows_) {
      std::string out;
      for (std::size_t i = 0; i < fields.size(); ++i) {
        if (!fields[i].is_set) continue;
        out += fmt::format("{}\"f{}\":{}", out.empty() ? "" : ",", i,
                           rendered(definition_.fields[i], fields[i]));
      }
      documents[key] = "{" + out + "}";
    }
    return documents;
  }

  const std::map<std::string, Sequence>& sequences() const { return sequences_; }

 private:
  const ModelDefinition& definition_;
  std::map<std::string, std::vector<ModelField>> rows_;
  std::map<std::string, Sequence> sequences_;
};

ModelEvent random_event(RandomInput& random) {
  ModelEvent event;
  event.type = random.below(ModelDefinition::kTypes);
  event.stream = random.below(4);
  const auto decide = [&random](auto& member, auto make) {
    member.is_absent = random.chance(5);
    if (!member.is_absent && !random.chance(5)) member.value = make();
  };
  decide(event.n, [&] { return static_cast<std::int64_t>(random.below(2'000'000)) - 1'000'000; });
  decide(event.x, [&] { return (static_cast<double>(random.below(4000)) - 2000) / 2; });
  decide(event.s, [&] { return std::string(1, static_cast<char>('a' + random.below(5))); });
  decide(event.patch, [&] {
    std::map<std::string, std::optional<std::int64_t>> patch;
    for (std::size_t i = random.below(3); i > 0; --i) {
      auto& value = patch[std::string(1, static_cast<char>('a' + random.below(4)))];
      if (!random.chance(3)) value = static_cast<std::int64_t>(random.below(100));
    }
    return patch;
  });
  return event;
}

FoldedEvent folded(const ModelEvent& event, Sequence sequence) {
  std::vector<std::string> members;
  if (!event.n.is_absent) members.push_back("\"n\": " + shown(event.n));
  if (!event.x.is_absent) members.push_back("\"x\":" + shown(event.x));
  if (!event.s.is_absent) members.push_back("\"s\" :" + shown(event.s));
  if (!event.patch.is_absent && !event.patch.value) members.emplace_back("\"patch\":null");
  if (event.patch.value) {
    std::vector<std::string> patch;
    for (const auto& [name, value] : *event.patch.value) {
      patch.push_back(fmt::format("\"{}\":{}", name, value ? std::to_string(*value) : "null"));
    }
    members.push_back(fmt::format("\"patch\":{{{}}}", fmt::join(patch, ",")));
  }
  FoldedEvent made;
  made.data = fmt::format("{{{}}}", fmt::join(members, ","));
  made.type = fmt::format("t{}", event.type);
  made.stream = fmt::format("s.{}", event.stream);
  made.sequence = sequence;
  return made;
}

void check_round(RandomInput& random) {
  const ModelDefinition chosen(random);
  SCOPED_TRACE(chosen.text);
  const auto definition = Definition::parse(chosen.text);
  ASSERT_TRUE(definition) << definition.error().message;
  auto made = make_fold(*definition);
  ASSERT_TRUE(made) << made.error().message;
  const std::unique_ptr<Fold> fold = *std::move(made);
  Model model(chosen);
  MapRows rows;
  std::vector<FoldedEvent> uncommitted;
  const auto commit = [&] {
    const auto changes = fold->take_changes();
    ASSERT_TRUE(changes) << changes.error().message;
    rows.commit(*changes);
    uncommitted.clear();
  };
  for (Sequence sequence = 1; sequence <= 300; ++sequence) {
    const ModelEvent event = random_event(random);
    model.apply(event, sequence);
    uncommitted.push_back(folded(event, sequence));
    const Status applied = fold->apply(uncommitted.back().record(), rows);
    ASSERT_TRUE(applied) << applied.error().message;
    if (random.chance(20)) commit();
    if (random.chance(20)) {
      fold->forget();
      for (FoldedEvent& again : uncommitted) ASSERT_TRUE(fold->apply(again.record(), rows));
    }
  }
  commit();
  EXPECT_EQ(rows.documents(), model.documents());
  // Removals are told, with the event that removed, and so is what came and went in between.
  for (const auto& [key, sequence] : model.sequences()) EXPECT_EQ(rows.sequences[key], sequence);
}

TEST(DeclarativeModelTest, RowsAreThoseOfTheModel) {
  RandomInput random;
  SCOPED_TRACE("TIDEGATE_TEST_SEED=" + std::to_string(random.seed()));
  for (int round = 0; round < 200 && !testing::Test::HasFailure(); ++round) check_round(random);
}

}  // namespace
}  // namespace tidegate::test::declarative_model
