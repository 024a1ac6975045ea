#include "gateway/auth/jwt_claims.h"

#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/auth/jwt.h"
#include "gateway/auth/strict_json.h"

namespace tidegate {
namespace {

constexpr std::uint64_t kTimeMax_s = 253'402'300'799;  // 9999-12-31T23:59:59Z

Error bad_claim(std::string_view name, std::string_view expected) {
  return {Code::kUnauthenticated, fmt::format("the token's claim \"{}\" {}", name, expected)};
}

Status take_text(std::string_view name, const JsonValue& value, std::size_t bytes_max,
                 std::string& out) {
  std::optional<std::string> text = printable_string(value, bytes_max);
  if (!text) {
    return bad_claim(name, fmt::format("must be a string of 1 to {} bytes without control "
                                       "characters",
                                       bytes_max));
  }
  out = *std::move(text);
  return {};
}

Status take_time(std::string_view name, const JsonValue& value, std::optional<std::int64_t>& out) {
  const std::optional<std::uint64_t> seconds = json_whole_number(value);
  if (!seconds || *seconds > kTimeMax_s) {
    return bad_claim(name, "must be a whole number of seconds since 1970");
  }
  out = static_cast<std::int64_t>(*seconds);
  return {};
}

// Calls `take(element)` for each string of an array.
template <typename Take>
Status take_strings(std::string_view name, const JsonValue& array, Take take) {
  if (!array.is(JsonKind::kArray)) return bad_claim(name, "must be an array of strings");
  for (JsonElements elements(array); elements.next();) {
    if (!elements.value().is(JsonKind::kString)) {
      return bad_claim(name, "must be an array of strings");
    }
    if (Status taken = take(json_string(elements.value())); !taken) return taken;
  }
  return {};
}

Status take_audience(const JsonValue& value, std::vector<std::string>& audience) {
  if (value.is(JsonKind::kString)) {
    audience.push_back(json_string(value));
    return {};
  }
  return take_strings("aud", value, [&audience](std::string text) {
    audience.push_back(std::move(text));
    return Status();
  });
}

Status take_patterns(std::string_view name, const JsonValue& value,
                     std::vector<Pattern>& patterns) {
  return take_strings(name, value, [name, &patterns](const std::string& text) -> Status {
    if (patterns.size() == kGrantPatternsMax) {
      return bad_claim(name, fmt::format("has more than {} patterns", kGrantPatternsMax));
    }
    Result<Pattern> pattern = Pattern::parse(text);
    if (!pattern) return bad_claim(name, "holds a text that is no stream pattern");
    patterns.push_back(*std::move(pattern));
    return {};
  });
}

Status take_grants(const JsonValue& value, Grants& grants) {
  if (!value.is(JsonKind::kObject)) return bad_claim("tidegate", "must be an object");
  for (JsonMembers members(value); members.next();) {
    const std::string_view name = members.name();
    const JsonValue& member = members.value();
    Status good;
    if (name == "subscribe") good = take_patterns("tidegate.subscribe", member, grants.subscribe);
    if (name == "publish") good = take_patterns("tidegate.publish", member, grants.publish);
    if (name == "admin") {
      grants.is_admin = member.is(JsonKind::kTrue);
      if (!grants.is_admin && !member.is(JsonKind::kFalse)) {
        good = bad_claim("tidegate.admin", "must be true or false");
      }
    }
    if (!good) return good;
  }
  return {};
}

Status take_claim(std::string_view name, const JsonValue& value, JwtClaims& claims,
                  std::optional<std::int64_t>& expires_s) {
  if (name == "iss") return take_text(name, value, kIssuerBytesMax, claims.issuer);
  if (name == "sub") return take_text(name, value, kSubjectBytesMax, claims.subject);
  if (name == "jti") return take_text(name, value, kJtiBytesMax, claims.jti);
  if (name == "aud") return take_audience(value, claims.audience);
  if (name == "exp") return take_time(name, value, expires_s);
  if (name == "nbf") return take_time(name, value, claims.not_before_s);
  if (name == "iat") return take_time(name, value, claims.issued_at_s);
  if (name == "tidegate") return take_grants(value, claims.grants);
  return {};
}

void append_text(std::string& out, std::string_view name, std::string_view text) {
  if (text.empty()) return;
  fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
  append_json_string(out, text);
}

// `texts` are strings or patterns; `text_of` says which.
template <typename List, typename TextOf>
void append_array(std::string& out, std::string_view name, const List& list, TextOf text_of) {
  if (list.empty()) return;
  fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
  char before = '[';
  for (const auto& element : list) {
    out += before;
    append_json_string(out, text_of(element));
    before = ',';
  }
  out += ']';
}

void append_grants(std::string& out, const Grants& grants) {
  if (grants == Grants()) return;
  const auto text_of = [](const Pattern& pattern) -> const std::string& { return pattern.text(); };
  std::string inside;
  append_array(inside, "subscribe", grants.subscribe, text_of);
  append_array(inside, "publish", grants.publish, text_of);
  if (grants.is_admin) inside += ",\"admin\":true";
  inside.erase(0, 1);  // the comma
  fmt::format_to(std::back_inserter(out), ",\"tidegate\":{{{}}}", inside);
}

}  // namespace

Result<JwtClaims> parse_claims(std::string_view payload) {
  const Result<JsonValue> object =
      parse_strict_object(payload, "the token's claims", Code::kUnauthenticated);
  if (!object) return object.error();
  JwtClaims claims;
  std::optional<std::int64_t> expires_s;
  for (JsonMembers members(*object); members.next();) {
    if (Status taken = take_claim(members.name(), members.value(), claims, expires_s); !taken) {
      return taken.error();
    }
  }
  if (claims.issuer.empty()) return bad_claim("iss", "is missing");
  if (claims.subject.empty()) return bad_claim("sub", "is missing");
  if (!expires_s) return bad_claim("exp", "is missing");
  claims.expires_s = *expires_s;
  return claims;
}

std::string to_json(const JwtClaims& claims) {
  std::string out;
  append_text(out, "iss", claims.issuer);
  append_text(out, "sub", claims.subject);
  const auto itself = [](const std::string& text) -> const std::string& { return text; };
  if (claims.audience.size() == 1 && !claims.audience.front().empty()) {
    append_text(out, "aud", claims.audience.front());
  } else {
    append_array(out, "aud", claims.audience, itself);
  }
  fmt::format_to(std::back_inserter(out), ",\"exp\":{}", claims.expires_s);
  if (claims.not_before_s) {
    fmt::format_to(std::back_inserter(out), ",\"nbf\":{}", *claims.not_before_s);
  }
  if (claims.issued_at_s) {
    fmt::format_to(std::back_inserter(out), ",\"iat\":{}", *claims.issued_at_s);
  }
  append_text(out, "jti", claims.jti);
  append_grants(out, claims.grants);
  out.front() = '{';  // in place of the first comma
  return out + "}";
}

}  // namespace tidegate
