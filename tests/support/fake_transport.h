#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "gateway/delivery/transport.h"

namespace tidegate::test {

// A socket that takes one message at a time and finishes it when the test says so. The bytes are
// read only then, so that a message whose memory is not pinned shows under the address sanitizer.
// Thread: caller serialises.
class FakeTransport final : public Transport {
 public:
  std::string_view surface() const override { return "test"; }

  void put(OutgoingMessage&& message) override {
    EXPECT_FALSE(is_writing()) << "a second write is begun while one is in flight";
    EXPECT_FALSE(close_code_) << "a message is sent after the close frame";
    in_flight_ = std::move(message);
    is_begun_ = false;
  }

  Sent write() override {
    EXPECT_TRUE(is_writing() && !is_begun_) << "there is nothing to write";
    is_begun_ = true;
    return Sent::kUnderWay;
  }

  void release_pins() override {
    EXPECT_TRUE(is_writing());
    ++pins_released_;
    in_flight_ = OutgoingMessage::of(in_flight_->joined());
  }

  void close(CloseCode code, std::string_view reason) override {
    if (close_code_) return;
    close_code_ = code;
    close_reason_ = reason;
  }

  void set_reading(bool reading) override {
    EXPECT_NE(reading, reading_) << "called without a change";
    reading_ = reading;
  }

  bool is_writing() const { return in_flight_.has_value(); }
  const OutgoingMessage& in_flight() const { return *in_flight_; }
  // Ends the write in flight; the session is to be told.
  std::string finish_write() {
    EXPECT_TRUE(is_begun_) << "a message was put and is not written";
    std::string text = in_flight_->joined();
    EXPECT_EQ(text.size(), in_flight_->bytes);
    in_flight_.reset();
    return text;
  }

  bool is_reading() const { return reading_; }
  int pins_released() const { return pins_released_; }
  std::optional<CloseCode> close_code() const { return close_code_; }
  const std::string& close_reason() const { return close_reason_; }

 private:
  std::optional<OutgoingMessage> in_flight_;
  bool is_begun_ = false;
  std::optional<CloseCode> close_code_;
  std::string close_reason_;
  bool reading_ = true;
  int pins_released_ = 0;
};

}  // namespace tidegate::test
