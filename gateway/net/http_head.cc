#include "gateway/net/http_head.h"

#include <ctime>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kEndOfHead = "\r\n\r\n";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view code_of(int status) {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 503:
      return "unavailable";
    default:
      return "bad_argument";
  }
}

// RFC 9110 section 5.6.7. The program never leaves the C locale, whose names of days it needs.
std::string http_date(std::time_t time) {
  std::tm parts = {};
  ::gmtime_r(&time, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::size_t HttpRequest::count(std::string_view name) const {
  std::size_t found = 0;
  for (const Field& field : fields) found += equals_ignoring_case(field.name, name) ? 1U : 0U;
  return found;
}

std::string_view HttpRequest::value(std::string_view name) const {
  for (const Field& field : fields) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

std::vector<std::string_view> HttpRequest::list(std::string_view name) const {
  std::vector<std::string_view> elements;
  for (const Field& field : fields) {
    if (!equals_ignoring_case(field.name, name)) continue;
    std::string_view rest = field.value;
    while (true) {
      const std::size_t comma = rest.find(',');
      const std::string_view element = trimmed(rest.substr(0, comma));
      if (!element.empty()) elements.push_back(element);
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return elements;
}

HttpHead::State HttpHead::refuse(int status, std::string detail) {
  refusal_ = {status, std::move(detail)};
  return State::kRefused;
}

HttpHead::State HttpHead::take(std::string_view bytes) {
  // One byte more than the limit tells that it is passed.
  const std::size_t begin = bytes_.size();
  bytes_.append(bytes.substr(0, bytes_max_ + 1 - begin));
  // The end may have begun in the bytes before.
  const std::size_t end = bytes_.find(kEndOfHead, begin < 3 ? 0 : begin - 3);
  const std::size_t head_bytes = end == std::string::npos ? bytes_.size() : end + kEndOfHead.size();
  if (head_bytes > bytes_max_)
    return refuse(431, fmt::format("the request's head is larger than {} bytes", bytes_max_));
  const bool has_more = begin + bytes.size() > head_bytes;
  bytes_.resize(head_bytes);
  if (check_new_bytes(begin) == State::kRefused) return State::kRefused;
  if (end == std::string::npos) return State::kIncomplete;
  // Bytes before the answer would reach the WebSocket, or be another request for a proxy.
  if (has_more)
    return refuse(400, "bytes follow the request's head: send nothing before the answer");
  return parse();
}

// What is wrong whatever follows is refused at once: a peer that speaks TLS or ends lines with a
// bare line feed would otherwise wait for its time-out.
HttpHead::State HttpHead::check_new_bytes(std::size_t begin) {
  for (std::size_t i = begin; i < bytes_.size(); ++i) {
    const auto c = static_cast<unsigned char>(bytes_[i]);
    const char before = i == 0 ? '\0' : bytes_[i - 1];
    if (c == '\n') {
      if (before != '\r') return refuse(400, "a line must end with CR LF");
    } else if (before == '\r') {
      return refuse(400, "a CR must be followed by LF");
    } else if ((c < 0x20 && c != '\r' && c != '\t') || c == 0x7f) {
      return refuse(400, "the request's head contains a control character");
    }
    // A line that begins with white space continues the one before: obsolete, and read differently
    // by proxies.
    if (before == '\n' && (c == ' ' || c == '\t'))
      return refuse(400, "a header field is folded over two lines");
  }
  return State::kIncomplete;
}

HttpHead::State HttpHead::parse() {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(bytes_max_);
  parser.body_limit(0);
  parser.eager(false);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(bytes_), error);
  bytes_ = {};
  if (error) return refuse(400, fmt::format("not an HTTP/1.1 request: {}", error.message()));
  if (!parser.is_header_done()) return refuse(400, "not an HTTP/1.1 request");
  const auto& message = parser.get();
  if (message.version() != 11) return refuse(400, "only HTTP/1.1 is spoken here");
  request_.method = std::string(message.method_string());
  request_.target = std::string(message.target());
  for (const auto& field : message) {
    request_.fields.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  return State::kComplete;
}

std::string http_answer(int status, std::string_view content_type, std::string_view body,
                        std::string_view field) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  // Upgrade, which comes with a 426, is for the next hop only (RFC 9110 section 7.8).
  const std::string_view connection = status == 426 ? "close, Upgrade" : "close";
  std::string answer = fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: {}\r\n",
      status, std::string_view(reason.data(), reason.size()), http_date(std::time(nullptr)),
      content_type, body.size(), connection);
  if (!field.empty()) {
    answer += field;
    answer += "\r\n";
  }
  answer += "\r\n";
  answer += body;
  return answer;
}

std::string http_answer(const HttpRefusal& refusal) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(refusal.status));
  std::string body = "{\"title\":";
  append_json_string(body, std::string_view(reason.data(), reason.size()));
  body += fmt::format(",\"status\":{},\"code\":\"{}\",\"detail\":", refusal.status,
                      code_of(refusal.status));
  append_json_string(body, refusal.detail);
  body += "}\n";
  return http_answer(refusal.status, "application/problem+json", body, refusal.field);
}

}  // namespace tidegate
