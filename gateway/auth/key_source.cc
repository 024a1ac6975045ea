#include "gateway/auth/key_source.h"

#include <utility>

#include "eventstore/base/guarded.h"
#include "gateway/auth/https_get.h"
#include "gateway/auth/https_key_source.h"
#include "gateway/auth/key_file.h"

namespace tidegate {
namespace {

class FileKeySource final : public KeySource {
 public:
  explicit FileKeySource(const KeySourceConfig& config)
      : path_(config.keys), allowed_(config.allowed) {}

  std::shared_ptr<const KeySet> keys() const override {
    return state_.with([](const State& state) { return state.keys; });
  }

  bool on_unknown_key() override { return false; }

  Status reload() override {
    Result<KeySet> read = load_key_set(path_, allowed_);
    if (!read) {
      state_.with([&read](State& state) {
        ++state.health.failures;
        state.health.last_error = read.error().message;
      });
      return read.error();
    }
    auto keys = std::make_shared<const KeySet>(*std::move(read));
    state_.with([&keys](State& state) {
      state.keys = std::move(keys);
      state.health.has_keys = true;
      state.health.last_error.clear();
    });
    return {};
  }

  bool wait_for_keys(std::chrono::milliseconds) override { return true; }

  Health health() const override {
    return state_.with([](const State& state) { return state.health; });
  }

 private:
  struct State {
    std::shared_ptr<const KeySet> keys;
    Health health;
  };
  const std::string path_;
  const std::vector<Algorithm> allowed_;
  Guarded<State> state_;
};

}  // namespace

Result<std::unique_ptr<KeySource>> open_key_source(const KeySourceConfig& config,
                                                   const Clock& clock) {
  if (!is_url(config.keys)) {
    auto source = std::make_unique<FileKeySource>(config);
    if (Status read = source->reload(); !read) return read.error();
    return std::unique_ptr<KeySource>(std::move(source));
  }
  Result<std::unique_ptr<HttpsGet>> get =
      HttpsGet::make({.url = config.keys, .ca_file = config.ca_file});
  if (!get) return get.error();
  return std::unique_ptr<KeySource>(
      std::make_unique<HttpsKeySource>(*std::move(get), clock, FetchSchedule::Periods()));
}

}  // namespace tidegate
