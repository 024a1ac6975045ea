#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "eventstore/base/check.h"
#include "eventstore/base/error.h"

namespace tidegate {

// A value or the Error that took its place. Dropping one is a compile error. Member names are those
// of std::expected, which g++ 12 has only with C++23. Thread: caller serialises.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    TG_CHECK(has_value(), error().message);
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    TG_CHECK(has_value(), error().message);
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    TG_CHECK(has_value(), error().message);
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    TG_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    TG_CHECK(!has_value());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }

  const Error& error() const& {
    TG_CHECK(error_.has_value());
    return *error_;
  }
  Error&& error() && {
    TG_CHECK(error_.has_value());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace tidegate
