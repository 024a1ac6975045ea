// A gateway loop, a log and some clients in one thread, driven by a seed: everything that may
// happen happens in some order, and each subscription must see exactly what an independent filter
// of the log gives.
//
// TIDEGATE_SEED=n runs one seed.

#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {
namespace {

const std::vector<std::string> kStreams = {"a.x", "a.y", "b.x", "b.y.z", "c"};
const std::vector<std::string> kTypes = {"t1", "t2", "t3"};
const std::vector<std::string> kPatterns = {"a.x", "a.y", "b.x", "c", "a.*", "*.x", "b.>", ">"};

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::size_t below(std::size_t bound) { return random_() % bound; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 random_;
};

Filter random_filter(Dice& dice) {
  std::vector<std::string> streams;
  std::vector<std::string> types;
  for (std::size_t n = 1 + dice.below(2); n > 0; --n) streams.push_back(dice.pick(kPatterns));
  for (std::size_t n = dice.below(3); n > 0; --n) types.push_back(dice.pick(kTypes));
  return *Filter::make(streams, types);
}

template <typename Op>
void put_filter(Op& op, const Filter& filter) {
  for (const Pattern& pattern : filter.patterns()) op.add_streams(pattern.text());
  for (const std::string& type : filter.types()) op.add_types(type);
}

// What a client knows of one subscription, and the judge of what it is sent.
class Judge {
 public:
  enum class Resume { kPosition, kInteger, kCursor };
  enum class State { kOff, kAsked, kOn };

  Judge(FakeLog& log, Dice& dice, std::string id, std::string cursor)
      : log_(log),
        id_(std::move(id)),
        cursor_(std::move(cursor)),
        resume_(static_cast<Resume>(dice.below(3))),
        window_(static_cast<std::uint32_t>(dice.pick(std::vector<int>{0, 0, 1, 3, 20}))),
        wanted_(random_filter(dice)) {
    known_.sequence = dice.one_in(2) ? 0 : log.head();
    known_.text = log.position(known_.sequence).text();
    if (resume_ == Resume::kCursor) known_.sequence = 0;
  }

  bool is_on() const { return state_ == State::kOn; }
  State state() const { return state_; }
  const std::string& id() const { return id_; }
  const std::string& cursor() const { return cursor_; }
  bool has_cursor() const { return resume_ == Resume::kCursor; }

  v1::ClientMessage subscribe(Dice& dice) {
    state_ = State::kAsked;
    updates_.clear();
    v1::ClientMessage message;
    v1::SubscribeOp& op = *message.mutable_subscribe();
    op.set_id(id_);
    put_filter(op, wanted_);
    op.set_window(window_);
    // Now and then it gives up what it knows: the head may be further than the loop has dispatched.
    is_from_head_ = !has_cursor() && dice.one_in(4);
    if (is_from_head_) {
      op.mutable_start()->set_edge(v1::EDGE_HEAD);
      subscribed_filter_ = wanted_;
      return message;
    }
    switch (resume_) {
      case Resume::kPosition:
        op.mutable_start()->set_after(known_.text);
        break;
      case Resume::kInteger:
        op.mutable_start()->set_after_sequence(known_.sequence);
        break;
      case Resume::kCursor:
        op.mutable_start()->set_edge(v1::EDGE_START);
        op.set_cursor(cursor_);
        break;
    }
    subscribed_filter_ = wanted_;
    return message;
  }

  v1::ClientMessage update(Dice& dice) {
    wanted_ = random_filter(dice);
    updates_.push_back(wanted_);
    v1::ClientMessage message;
    message.mutable_update()->set_id(id_);
    put_filter(*message.mutable_update(), wanted_);
    return message;
  }

  v1::ClientMessage ack(Dice& dice) const {
    v1::ClientMessage message;
    v1::AckOp& op = *message.mutable_ack();
    op.set_id(id_);
    if (dice.one_in(2)) {
      op.set_sequence(known_.sequence);
    } else {
      op.set_position(known_.text);
    }
    return message;
  }

  v1::ClientMessage unsubscribe() const {
    v1::ClientMessage message;
    message.mutable_unsubscribe()->set_id(id_);
    return message;
  }

  void disconnected() { state_ = State::kOff; }

  void see(const SeenMessage& message) {
    if (message.op == "subscribed") return see_subscribed(message);
    if (message.op == "unsubscribed") {
      state_ = State::kOff;
      return;
    }
    ASSERT_TRUE(is_on()) << message.op;
    if (message.op == "acked") return;
    if (message.op == "caught_up" || message.op == "fell_behind") {
      EXPECT_EQ(is_behind_, message.op == "caught_up") << "told twice";
      is_behind_ = message.op == "fell_behind";
    }
    for (const SeenMessage::Event& event : message.events) see_event(event);
    const Sequence place = message.position_sequence();
    if (message.op == "events") {
      EXPECT_EQ(place, message.events.back().sequence);
    }
    examine_to(place);
    known_ = {place, message.field("position")};
    if (message.op != "updated") return;
    ASSERT_FALSE(updates_.empty());
    filter_ = updates_.front();
    updates_.pop_front();
  }

  // Everything in the log that it wants was delivered.
  void expect_complete() {
    examine_to(log_.head());
    EXPECT_FALSE(is_behind_);
  }

 private:
  struct Known {
    Sequence sequence = 0;
    std::string text;
  };

  void see_subscribed(const SeenMessage& message) {
    ASSERT_EQ(state_, State::kAsked);
    state_ = State::kOn;
    is_behind_ = true;
    const Sequence place = message.position_sequence();
    if (resume_ == Resume::kCursor) {
      EXPECT_EQ(place, log_.cursor(cursor_).stored.value_or(0)) << "not after the stored ack";
    } else if (is_from_head_) {
      EXPECT_GE(place, known_.sequence);
    } else {
      EXPECT_EQ(place, known_.sequence);
    }
    EXPECT_EQ(message.field("position"), log_.position(place).text());
    filter_ = subscribed_filter_;
    examined_ = place;
    unexamined_.clear();
    known_ = {place, message.field("position")};
  }

  void see_event(const SeenMessage::Event& event) {
    EXPECT_GT(event.sequence, unexamined_.empty() ? examined_ : unexamined_.back());
    ASSERT_LE(event.sequence, log_.head());
    EXPECT_EQ(event.stream, log_.record(event.sequence).view.stream);
    EXPECT_EQ(event.type, log_.record(event.sequence).view.type);
    EXPECT_EQ(event.revision, log_.record(event.sequence).view.revision);
    unexamined_.push_back(event.sequence);
  }

  void examine_to(Sequence place) {
    for (; examined_ < place; ++examined_) {
      const RecordView& record = log_.record(examined_ + 1).view;
      const bool is_wanted = filter_->matches(record.stream, record.type);
      const bool is_there = !unexamined_.empty() && unexamined_.front() == record.sequence;
      EXPECT_EQ(is_there, is_wanted) << "event " << record.sequence << " of " << id_;
      if (is_there) unexamined_.pop_front();
    }
    EXPECT_TRUE(unexamined_.empty());
  }

  FakeLog& log_;
  const std::string id_;
  const std::string cursor_;
  const Resume resume_;
  const std::uint32_t window_;
  State state_ = State::kOff;
  bool is_behind_ = true;
  bool is_from_head_ = false;
  Known known_;                         // what the client would resume from
  Filter wanted_;                       // by the last operation that it sent
  Filter subscribed_filter_ = wanted_;  // of the subscribe under way
  std::optional<Filter> filter_;        // in force for what comes now
  std::deque<Filter> updates_;          // sent and not answered
  Sequence examined_ = 0;               // compared with the log up to here
  std::deque<Sequence> unexamined_;     // delivered above that
};

struct Client {
  WireForm form;
  std::unique_ptr<Peer> peer;
  std::vector<std::unique_ptr<Judge>> judges;
  int stalled_steps = 0;
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed)
      : dice_(seed),
        loop_(log_, projections_, clock_, limits(), probe_, authority_, nullptr, "simulation") {
    for (std::size_t n = dice_.below(40); n > 0; --n) append();
    const std::size_t clients = 2 + dice_.below(4);
    for (std::size_t i = 0; i < clients; ++i) {
      Client& client = clients_.emplace_back();
      client.form = dice_.one_in(2) ? WireForm::kJson : WireForm::kProto;
      for (std::size_t n = 1 + dice_.below(3); n > 0; --n) {
        client.judges.push_back(std::make_unique<Judge>(log_, dice_, fmt::format("s{}", n),
                                                        fmt::format("c{}-{}", i, n)));
      }
    }
  }

  void run() {
    for (int step = 0; step < 700 && !testing::Test::HasFailure(); ++step) one_step();
    finish();
  }

 private:
  static SessionLimits limits() {
    SessionLimits limits;
    limits.batch_events = 5;
    limits.batch_bytes = 800;
    limits.position_ms = 1000;
    limits.messages_per_second = 1'000'000;
    limits.messages_burst = 1'000'000;
    return limits;
  }

  void append() {
    log_.append(dice_.pick(kStreams), dice_.pick(kTypes),
                dice_.one_in(15) ? 1500 : dice_.below(80));
  }

  void one_step() {
    Client& client = clients_[dice_.below(clients_.size())];
    switch (dice_.below(16)) {
      case 0:
      case 1:
        for (std::size_t n = 1 + dice_.below(dice_.one_in(5) ? 40 : 6); n > 0; --n) append();
        return;
      case 2:
      case 3:
        loop_.dispatch();
        return;
      case 4:
        clock_.advance_ms(250);
        loop_.tick();
        return;
      case 5:
        if (dice_.one_in(4)) log_.evict_below(dice_.below(log_.head() + 2));
        return;
      case 6:
        if (dice_.one_in(6)) client.stalled_steps = static_cast<int>(dice_.below(200));
        if (dice_.one_in(10)) log_.fail_next_read(Code::kOverloaded);
        return;
      case 7:
      case 8:
        act(client);
        return;
      case 9:
      case 10:
      case 11:
        if (log_.tasks() > 0) log_.run_task(dice_.below(log_.tasks()));
        return;
      default:
        if (client.stalled_steps > 0) {
          --client.stalled_steps;
        } else {
          receive(client);
        }
    }
  }

  void act(Client& client) {
    if (!client.peer) {
      client.peer = std::make_unique<Peer>(loop_, client.form, Principal::unrestricted());
      return;
    }
    if (dice_.one_in(25)) return disconnect(client);
    Judge& judge = *client.judges[dice_.below(client.judges.size())];
    if (judge.state() == Judge::State::kOff) return client.peer->say(judge.subscribe(dice_));
    if (!judge.is_on()) return;
    switch (dice_.below(10)) {
      case 0:
        return client.peer->say(judge.update(dice_));
      case 1:
        if (dice_.one_in(4)) client.peer->say(judge.unsubscribe());
        return;
      case 2:
        if (judge.has_cursor() && dice_.one_in(4)) log_.take_over(judge.cursor());
        return;
      default:
        return client.peer->say(judge.ack(dice_));
    }
  }

  void disconnect(Client& client) {
    // What was received is known; what is in flight is lost.
    hand_out(client);
    client.peer->disconnect();
    client.peer.reset();
    client.stalled_steps = 0;
    for (const auto& judge : client.judges) judge->disconnected();
  }

  bool receive(Client& client) {
    if (!client.peer || !client.peer->take_write()) return false;
    hand_out(client);
    return true;
  }

  void hand_out(Client& client) {
    for (const SeenMessage& message : client.peer->take()) {
      if (message.op == "welcome" || message.op == "ping") continue;
      if (message.op == "error") {
        // An update that crossed with the end of its subscription.
        EXPECT_EQ(message.field("code"), "not_found") << message.field("message");
        continue;
      }
      came_ += message.events.size();
      for (const auto& judge : client.judges) {
        if (judge->id() == message.field("id")) judge->see(message);
      }
    }
  }

  // Everybody connects, nobody stalls, and all is read: until nothing comes in several rounds, with
  // time passing.
  void finish() {
    for (int quiet = 0; quiet < 10 && !testing::Test::HasFailure(); ++quiet) {
      for (Client& client : clients_) settle_in(client);
      bool is_busy = true;
      while (is_busy) {
        is_busy = loop_.dispatch() || log_.tasks() > 0;
        while (log_.tasks() > 0) log_.run_task(dice_.below(log_.tasks()));
        for (Client& client : clients_) is_busy = receive(client) || is_busy;
      }
      if (std::exchange(came_, 0) > 0) quiet = 0;
      clock_.advance_ms(250);
      loop_.tick();
    }
    for (Client& client : clients_) {
      for (const auto& judge : client.judges) judge->expect_complete();
    }
    clients_.clear();
  }

  void settle_in(Client& client) {
    if (!client.peer)
      client.peer = std::make_unique<Peer>(loop_, client.form, Principal::unrestricted());
    for (const auto& judge : client.judges) {
      if (judge->state() == Judge::State::kOff) client.peer->say(judge->subscribe(dice_));
      if (judge->is_on()) client.peer->say(judge->ack(dice_));
    }
  }

  Dice dice_;
  ManualClock clock_;
  FakeLog log_;
  FakeProjections projections_{log_};
  DeliveryProbe probe_;
  NoAuthority authority_;
  DeliveryLoop loop_;
  std::vector<Client> clients_;
  std::size_t came_ = 0;  // events since it was last looked at
};

TEST(DeliverySimulationTest, EverySubscriptionSeesExactlyWhatItsFilterGives) {
  const char* const chosen = std::getenv("TIDEGATE_SEED");
  const std::uint64_t first = chosen != nullptr ? std::stoull(chosen) : 1;
  const std::uint64_t last = chosen != nullptr ? first : 400;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("TIDEGATE_SEED={}", seed));
    Simulation(seed).run();
    ASSERT_FALSE(HasFailure()) << "TIDEGATE_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tidegate::test
