#include "gateway/auth/https_get.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <unistd.h>
#include <utility>

#include <curl/curl.h>
#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "gateway/auth/freed.h"

namespace tidegate {
namespace {

using Easy = std::unique_ptr<CURL, Freed<curl_easy_cleanup>>;
using Multi = std::unique_ptr<CURLM, Freed<curl_multi_cleanup>>;
using Url = std::unique_ptr<CURLU, Freed<curl_url_cleanup>>;

void start_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { TG_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
}

// A part of the URL; "" when it is absent.
std::string part_of(const Url& url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, 0) != CURLUE_OK) return "";
  std::string copied = text;
  curl_free(text);
  return copied;
}

Status check_url(const std::string& text) {
  // libcurl takes "https:///keys" for the host "keys".
  if (text.find(":///") != std::string::npos) {
    return Error{Code::kBadArgument, "the address of keys names no host"};
  }
  const Url url(curl_url());
  const bool parsed = url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(),
                                          CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
  if (!parsed || part_of(url, CURLUPART_SCHEME) != "https" ||
      part_of(url, CURLUPART_HOST).empty()) {
    return Error{Code::kBadArgument, "keys are fetched from https:// addresses only"};
  }
  if (!part_of(url, CURLUPART_USER).empty() || !part_of(url, CURLUPART_PASSWORD).empty()) {
    return Error{Code::kBadArgument, "the address of keys must not carry a user or a password"};
  }
  return {};
}

struct Body {
  std::string bytes;
  std::size_t bytes_max;
  bool is_too_large = false;
};

// libcurl's callback: returns how much was taken; less than there was ends the transfer.
std::size_t take_body(char* bytes, std::size_t, std::size_t count, void* to) {
  Body& body = *static_cast<Body*>(to);
  body.is_too_large = count > body.bytes_max - body.bytes.size();
  if (body.is_too_large) return 0;
  body.bytes.append(bytes, count);
  return count;
}

}  // namespace

struct HttpsGet::Impl {
  explicit Impl(Options given) : options(std::move(given)), multi(curl_multi_init()) {
    TG_CHECK(multi != nullptr);
  }

  Easy make_transfer(Body& body) const;
  // Runs the transfer to its end.
  Result<CURLcode> drive(CURL* transfer) const;

  const Options options;
  const Multi multi;
  std::atomic<bool> is_aborted{false};  // pairs with curl_multi_wakeup, which orders it
  mutable std::array<char, CURL_ERROR_SIZE> reason = {};
};

Easy HttpsGet::Impl::make_transfer(Body& body) const {
  Easy easy(curl_easy_init());
  TG_CHECK(easy != nullptr);
  CURL* const c = easy.get();
  curl_easy_setopt(c, CURLOPT_URL, options.url.c_str());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  curl_easy_setopt(c, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout_ms));
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  // Minutes pass between two fetches: a connection that is kept would be dead by then.
  curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
  // Without it, the end of a transfer waits for a name server that does not answer.
  curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(c, CURLOPT_USERAGENT, "tidegate");
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, reason.data());
  if (!options.ca_file.empty()) {
    curl_easy_setopt(c, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(c, CURLOPT_CAPATH, nullptr);  // that file alone
  }
  return easy;
}

Result<CURLcode> HttpsGet::Impl::drive(CURL* transfer) const {
  const Error aborted{Code::kUnavailable, "the fetch was aborted"};
  if (curl_multi_add_handle(multi.get(), transfer) != CURLM_OK) return aborted;
  CURLcode code = CURLE_ABORTED_BY_CALLBACK;
  int running = 1;
  while (running > 0 && !is_aborted) {
    if (curl_multi_perform(multi.get(), &running) != CURLM_OK) break;
    if (running > 0) curl_multi_poll(multi.get(), nullptr, 0, options.timeout_ms, nullptr);
  }
  int left = 0;
  if (const CURLMsg* const done = curl_multi_info_read(multi.get(), &left); done != nullptr) {
    code = done->data.result;
  }
  curl_multi_remove_handle(multi.get(), transfer);
  if (is_aborted) return aborted;
  return code;
}

Result<std::unique_ptr<HttpsGet>> HttpsGet::make(Options options) {
  start_curl_once();
  if (Status good = check_url(options.url); !good) return good.error();
  if (!options.ca_file.empty() && access(options.ca_file.c_str(), R_OK) != 0) {
    return Error{Code::kBadArgument, fmt::format("cannot read the CA file '{}'", options.ca_file)};
  }
  return std::unique_ptr<HttpsGet>(new HttpsGet(std::make_unique<Impl>(std::move(options))));
}

HttpsGet::HttpsGet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpsGet::~HttpsGet() = default;

const std::string& HttpsGet::url() const {
  return impl_->options.url;
}

Result<std::string> HttpsGet::run() {
  const auto unavailable = [this](std::string_view reason) {
    return Error{Code::kUnavailable, fmt::format("cannot fetch {}: {}", url(), reason)};
  };
  impl_->reason.front() = '\0';
  Body body{{}, impl_->options.body_bytes_max};
  const Easy transfer = impl_->make_transfer(body);
  const Result<CURLcode> ended = impl_->drive(transfer.get());
  if (!ended) return ended.error();
  if (body.is_too_large) {
    return unavailable(
        fmt::format("the document is larger than the {} bytes allowed", body.bytes_max));
  }
  if (*ended != CURLE_OK) {
    const char* const reason = impl_->reason.data();
    return unavailable(*reason != '\0' ? reason : curl_easy_strerror(*ended));
  }
  long status = 0;
  curl_easy_getinfo(transfer.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return unavailable(
        fmt::format("the answer has status {}{}", status,
                    status >= 300 && status < 400 ? " (redirects are not followed)" : ""));
  }
  return std::move(body.bytes);
}

void HttpsGet::abort() {
  impl_->is_aborted = true;
  curl_multi_wakeup(impl_->multi.get());
}

bool is_url(std::string_view place) {
  return place.find("://") != std::string_view::npos;
}

}  // namespace tidegate
