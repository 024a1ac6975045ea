#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "eventstore/base/guarded.h"
#include "gateway/delivery/session_host.h"

namespace tidegate::test {

// A host whose one session is the test: it sees what the client sent and says what goes back.
// Thread: any (internally synchronised).
class FakeSessionHost final : public SessionHost {
 public:
  Result<std::unique_ptr<RemoteSession>> open_remote(std::shared_ptr<RemotePeer> peer,
                                                     PrincipalRef principal) override {
    record_->with([&](Record& record) {
      record.peer = peer;
      record.principal = std::move(principal);
      ++record.opened;
    });
    return std::unique_ptr<RemoteSession>(std::make_unique<Session>(record_));
  }

  std::shared_ptr<RemotePeer> peer() const {
    return record_->with([](const Record& record) { return record.peer.lock(); });
  }
  int opened() const {
    return record_->with([](const Record& record) { return record.opened; });
  }
  int ended() const {
    return record_->with([](const Record& record) { return record.ended; });
  }
  int written() const {
    return record_->with([](const Record& record) { return record.written; });
  }
  std::deque<std::string> messages() const {
    return record_->with([](const Record& record) { return record.messages; });
  }

 private:
  struct Record {
    std::weak_ptr<RemotePeer> peer;
    PrincipalRef principal;
    std::deque<std::string> messages;
    int opened = 0;
    int ended = 0;
    int written = 0;
  };
  class Session final : public RemoteSession {
   public:
    explicit Session(std::shared_ptr<Guarded<Record>> record) : record_(std::move(record)) {}
    ~Session() override {
      record_->with([](Record& record) { ++record.ended; });
    }
    void message(std::string bytes) override {
      record_->with([&](Record& record) { record.messages.push_back(std::move(bytes)); });
    }
    void written() override {
      record_->with([](Record& record) { ++record.written; });
    }

   private:
    std::shared_ptr<Guarded<Record>> record_;
  };

  std::shared_ptr<Guarded<Record>> record_ = std::make_shared<Guarded<Record>>();
};

}  // namespace tidegate::test
