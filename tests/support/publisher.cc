#include "tests/support/publisher.h"

#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tidegate/v1/event_service.grpc.pb.h"

namespace tidegate::test {
namespace {

void add_token(grpc::ClientContext& call, const std::string& token) {
  if (!token.empty()) call.AddMetadata("authorization", "Bearer " + token);
}

constexpr std::chrono::seconds kCallTime{30};
constexpr std::chrono::milliseconds kReconnectTime{50};

std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A subchannel of its own, without the backoff of an earlier one to the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Codes that promise that nothing was stored. UNAVAILABLE and the like may come after the send.
bool is_refusal(grpc::StatusCode code) {
  return code == grpc::INVALID_ARGUMENT || code == grpc::FAILED_PRECONDITION ||
         code == grpc::ALREADY_EXISTS || code == grpc::RESOURCE_EXHAUSTED;
}

void add_event(v1::PublishRequest& request, const std::string& stream, const std::string& type,
               std::string id, std::string data) {
  v1::NewEvent& added = *request.add_events();
  added.set_stream(stream);
  v1::CloudEvent& event = *added.mutable_event();
  event.set_id(std::move(id));
  event.set_source("/publisher");
  event.set_type(type);
  event.set_text_data(std::move(data));
}

std::uint64_t hash_of(const std::string& stream, const v1::CloudEvent& event) {
  return event_hash(stream, event.type(), event.id(), event.text_data());
}

}  // namespace

struct Publisher::Connection {
  explicit Connection(const std::string& address)
      : channel(connect(address)), events(v1::EventService::NewStub(channel)) {}
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::EventService::Stub> events;
};

Publisher::Publisher(Options options) : options_(std::move(options)), random_(options_.seed) {}

Publisher::~Publisher() {
  stop();
}

void Publisher::start() {
  thread_ = std::thread([this] { run(); });
}

void Publisher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  join();
}

void Publisher::join() {
  if (thread_.joinable()) thread_.join();
}

void Publisher::run() {
  while (true) {
    if (const std::string address = options_.address(); !address.empty()) {
      Connection connection(address);
      options_.pipelined == 0 ? run_unary(connection) : run_pipeline(connection);
    }
    std::unique_lock lock(mutex_);
    if (records_.size() >= options_.requests_max) return;
    if (stopped_.wait_for(lock, kReconnectTime, [this] { return stopping_; })) return;
  }
}

// Keeps the rate; returns early when it is to stop.
void Publisher::pace(std::size_t events) {
  if (options_.events_per_second <= 0) return;
  const std::int64_t now = now_ns();
  // A publisher that was held up does not catch up at full speed.
  next_send_ns_ = std::max(next_send_ns_, now - 100'000'000);
  next_send_ns_ +=
      static_cast<std::int64_t>(1e9 * static_cast<double>(events) / options_.events_per_second);
  if (next_send_ns_ <= now) return;
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, std::chrono::nanoseconds(next_send_ns_ - now),
                    [this] { return stopping_; });
}

Publisher::Attempt Publisher::make_attempt() {
  Attempt attempt;
  const std::size_t count = 1 + random_() % options_.batch_max;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string id = fmt::format("p{}-{}", options_.number, ++next_event_);
    std::string data = fmt::format(R"({{"by":"{}","fill":")", id);
    data.append(random_() % (options_.data_bytes + 1), static_cast<char>('a' + random_() % 26));
    add_event(attempt.request, options_.streams[random_() % options_.streams.size()],
              options_.types[random_() % options_.types.size()], id, data + "\"}");
  }
  if (options_.refused_one_in != 0 && random_() % options_.refused_one_in == 0) {
    v1::Check& check = *attempt.request.add_checks();
    check.set_stream("never." + std::to_string(options_.number));
    check.set_revision(1 + random_() % 100);
  }
  return attempt;
}

Publisher::Attempt Publisher::next_attempt() {
  Attempt attempt;
  if (again_.empty()) {
    attempt = make_attempt();
  } else {
    attempt.request = std::move(again_.front());
    again_.pop_front();
  }
  pace(static_cast<std::size_t>(attempt.request.events_size()));
  attempt.record.publisher = options_.number;
  attempt.record.number = ++next_number_;
  for (const v1::NewEvent& added : attempt.request.events()) {
    attempt.record.events.push_back({added.event().id(), hash_of(added.stream(), added.event())});
  }
  attempt.record.invoked_ns = now_ns();
  return attempt;
}

// Without a response and a refusal the outcome is unknown.
void Publisher::conclude(Attempt attempt, const v1::PublishResponse* response, bool is_refused) {
  PublishRecord& record = attempt.record;
  record.answered_ns = now_ns();
  if (response != nullptr) {
    record.outcome = PublishRecord::Outcome::kOk;
    for (const v1::PublishedEvent& event : response->events()) {
      record.places.push_back({event.sequence(), event.deduplicated()});
    }
    acknowledged_ += record.places.size();
  } else if (is_refused) {
    record.outcome = PublishRecord::Outcome::kRefused;
  } else if (random_() % 2 == 0) {
    again_.push_back(std::move(attempt.request));
  }
  records_.push_back(std::move(record));
}

void Publisher::run_unary(Connection& connection) {
  while (records_.size() < options_.requests_max) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    Attempt attempt = next_attempt();
    grpc::ClientContext call;
    add_token(call, options_.token);
    call.set_deadline(std::chrono::system_clock::now() + kCallTime);
    v1::PublishResponse response;
    const grpc::Status status = connection.events->Publish(&call, attempt.request, &response);
    const bool is_refused = is_refusal(status.error_code());
    conclude(std::move(attempt), status.ok() ? &response : nullptr, is_refused);
    if (!status.ok() && !is_refused) return;
  }
}

void Publisher::run_pipeline(Connection& connection) {
  grpc::ClientContext call;
  add_token(call, options_.token);
  auto stream = connection.events->PublishPipeline(&call);
  std::deque<Attempt> in_flight;
  const auto take_answer = [&] {
    v1::PublishPipelineResponse answer;
    if (!stream->Read(&answer)) return false;
    EXPECT_EQ(answer.batch(), in_flight.front().record.number) << "answers are in order";
    conclude(std::move(in_flight.front()), answer.has_response() ? &answer.response() : nullptr,
             answer.has_error());
    in_flight.pop_front();
    return true;
  };
  bool is_alive = true;
  while (is_alive && records_.size() + in_flight.size() < options_.requests_max) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    Attempt attempt = next_attempt();
    v1::PublishPipelineRequest request;
    request.set_batch(attempt.record.number);
    *request.mutable_request() = attempt.request;
    in_flight.push_back(std::move(attempt));
    is_alive = stream->Write(request);
    if (is_alive && in_flight.size() >= options_.pipelined) is_alive = take_answer();
  }
  if (is_alive) stream->WritesDone();
  // Answers that were sent before the end are still to be had.
  while (!in_flight.empty() && take_answer()) {
  }
  for (Attempt& attempt : in_flight) conclude(std::move(attempt), nullptr, false);
  call.TryCancel();
  static_cast<void>(stream->Finish());
}

namespace {

std::vector<LogEntry> read_log(const std::string& grpc_address, const v1::Start& start,
                               const std::string& token) {
  const auto events = v1::EventService::NewStub(connect(grpc_address));
  grpc::ClientContext call;
  add_token(call, token);
  v1::ReadRequest request;
  *request.mutable_start() = start;
  const auto stream = events->Read(&call, request);
  std::vector<LogEntry> log;
  for (v1::ReadResponse response; stream->Read(&response);) {
    for (const v1::RecordedEvent& read : response.events()) {
      const v1::CloudEvent& event = read.event();
      log.push_back({read.sequence(), read.revision(), read.stream(), event.type(), event.id(),
                     hash_of(read.stream(), event)});
    }
  }
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return log;
}

}  // namespace

std::vector<LogEntry> read_whole_log(const std::string& grpc_address, const std::string& token) {
  v1::Start start;
  start.set_edge(v1::EDGE_START);
  return read_log(grpc_address, start, token);
}

std::vector<LogEntry> read_log_after(const std::string& grpc_address, Sequence after) {
  v1::Start start;
  start.set_after_sequence(after);
  return read_log(grpc_address, start, "");
}

bool fill_log(const std::string& grpc_address, std::uint64_t count,
              const std::vector<std::string>& streams, std::uint64_t first_id,
              std::size_t data_bytes) {
  constexpr std::uint64_t kBatch = 500;
  constexpr std::size_t kInFlight = 8;
  const auto events = v1::EventService::NewStub(connect(grpc_address));
  grpc::ClientContext call;
  const auto stream = events->PublishPipeline(&call);
  const std::string data = "{\"fill\":\"" + std::string(data_bytes, 'x') + "\"}";
  std::size_t in_flight = 0;
  bool is_alive = true;
  const auto take_answer = [&] {
    v1::PublishPipelineResponse answer;
    --in_flight;
    return stream->Read(&answer) && answer.has_response();
  };
  for (std::uint64_t done = 0; is_alive && done < count; done += kBatch) {
    v1::PublishPipelineRequest request;
    request.set_batch(done);
    for (std::uint64_t i = done; i < std::min(done + kBatch, count); ++i) {
      add_event(*request.mutable_request(), streams[i % streams.size()], "filled",
                fmt::format("e{}", first_id + i), data);
    }
    is_alive = stream->Write(request);
    if (++in_flight >= kInFlight) is_alive = is_alive && take_answer();
  }
  while (is_alive && in_flight > 0) is_alive = take_answer();
  stream->WritesDone();
  return is_alive && stream->Finish().ok();
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace tidegate::test
