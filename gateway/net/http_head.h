#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate {

// A request's head as it came. Field names keep their case; values have no white space around them.
struct HttpRequest {
  struct Field {
    std::string name;
    std::string value;
  };
  std::string method;
  std::string target;
  std::vector<Field> fields;

  std::size_t count(std::string_view name) const;
  // Of the first field with this name, in any case; empty when there is none.
  std::string_view value(std::string_view name) const;
  // All values of that name as one comma-separated list, its elements trimmed.
  std::vector<std::string_view> list(std::string_view name) const;
};

// Why a request was refused; becomes a small application/problem+json body.
struct HttpRefusal {
  int status = 400;
  std::string detail;
  // Further fields of the answer, "Name: value", with CR LF between them; or empty.
  std::string field = {};
};

// Of a request's head, with the handshake of TLS before it. 16 KiB: the cookies of a browser and a
// token signed by RSA fit; ten thousand empty fields do not.
struct HttpHeadLimits {
  std::uint32_t bytes = 16 << 10;
  std::chrono::milliseconds time{5000};
};

// Reads a request's head from pieces of any size, without trust in it. The limit holds for all that
// is kept. Thread: caller serialises.
class HttpHead {
 public:
  enum class State { kIncomplete, kComplete, kRefused };

  explicit HttpHead(std::uint32_t bytes_max = HttpHeadLimits().bytes) : bytes_max_(bytes_max) {}

  // Takes the next bytes. After kComplete or kRefused it is not called again.
  State take(std::string_view bytes);

  // Of kComplete.
  const HttpRequest& request() const { return request_; }
  // Of kRefused.
  const HttpRefusal& refusal() const { return refusal_; }

 private:
  State refuse(int status, std::string detail);
  State check_new_bytes(std::size_t begin);
  State parse();

  std::uint32_t bytes_max_;
  std::string bytes_;
  HttpRequest request_;
  HttpRefusal refusal_;
};

bool equals_ignoring_case(std::string_view a, std::string_view b);

// A complete answer of now; the connection is closed after it, so that no proxy takes what follows
// for another request.
std::string http_answer(int status, std::string_view content_type, std::string_view body,
                        std::string_view field = {});
std::string http_answer(const HttpRefusal& refusal);

}  // namespace tidegate
