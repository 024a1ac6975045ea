#include "tools/tidegate/bench_events.h"

#include <random>
#include <utility>

#include <fmt/format.h>

namespace tidegate {
namespace {

constexpr std::string_view kTextName = R"(,"text":")";
constexpr std::string_view kTextEnd = R"("})";
// Events take their text from different places of the noise, so that no two in a row are equal.
constexpr std::size_t kNoisePlaces = 4096;

std::string make_noise(std::size_t bytes) {
  std::mt19937 random(20260101);
  std::string noise(bytes, '0');
  for (char& c : noise) c = "0123456789abcdef"[random() % 16];
  return noise;
}

}  // namespace

LoadClock::LoadClock() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  offset_us_ = std::chrono::duration_cast<std::chrono::microseconds>(wall).count() - steady_us();
}

BenchEvents::BenchEvents(std::size_t data_bytes, std::vector<std::string> streams,
                         std::uint32_t publisher)
    : data_bytes_(data_bytes),
      streams_(std::move(streams)),
      id_prefix_(fmt::format("{:08x}-{:04}-", std::random_device()(), publisher)),
      noise_(make_noise(data_bytes + kNoisePlaces)) {}

void BenchEvents::fill(v1::NewEvent& event, std::uint64_t number, std::int64_t sent_us) const {
  event.set_stream(streams_[number % streams_.size()]);
  v1::CloudEvent& cloud_event = *event.mutable_event();
  std::string& id = *cloud_event.mutable_id();
  id = id_prefix_;
  fmt::format_to(std::back_inserter(id), "{:012}", number);
  cloud_event.set_source("/tidegate-bench");
  cloud_event.set_type("bench.event");
  std::string& data = *cloud_event.mutable_text_data();
  data = kSentName;
  data += fmt::format_int(sent_us).c_str();
  data += kTextName;
  const std::size_t text_bytes = data_bytes_ - data.size() - kTextEnd.size();
  data.append(noise_, number * 31 % kNoisePlaces, text_bytes);
  data += kTextEnd;
}

}  // namespace tidegate
