#include "gateway/auth/revocations.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/base/whole_file.h"
#include "gateway/auth/jwt_claims.h"
#include "gateway/auth/strict_json.h"

namespace tidegate {
namespace {

// kRevocationsMax lines with the longest names, every byte of them escaped, are larger; but those
// of a real list have some hundred bytes.
constexpr std::size_t kFileBytesMax = 256 * 1024 * 1024;
constexpr unsigned kFileMode = 0600;
constexpr std::int64_t kTimeMax_s = 253'402'300'799;  // 9999-12-31T23:59:59Z

std::optional<std::int64_t> time_of(const JsonValue& value) {
  const std::optional<std::uint64_t> seconds = json_u64(value);
  if (!seconds || *seconds > static_cast<std::uint64_t>(kTimeMax_s)) return std::nullopt;
  return static_cast<std::int64_t>(*seconds);
}

std::size_t name_bytes_max(Revocation::Kind kind) {
  return kind == Revocation::Kind::kToken ? kJtiBytesMax : kSubjectBytesMax;
}

// What is wrong with it, or "".
std::string_view fault_of(const Revocation& revocation) {
  if (!is_valid_utf8(revocation.name) ||
      !is_printable(revocation.name, name_bytes_max(revocation.kind))) {
    return "a revocation needs the jti or the subject that a token can have";
  }
  if (revocation.expires_s <= 0 || revocation.expires_s > kTimeMax_s ||
      revocation.issued_before_s < 0 || revocation.issued_before_s > kTimeMax_s) {
    return "a revocation has a time that is not in the years 1970 to 9999";
  }
  return "";
}

// Nothing when the line is not a revocation, whole and with nothing else.
std::optional<Revocation> parse_line(std::string_view line) {
  const Result<JsonValue> object = parse_strict_object(line, "line", Code::kDataLoss);
  if (!object) return std::nullopt;
  std::optional<std::string> jti;
  std::optional<std::string> subject;
  std::optional<std::int64_t> issued_before_s;
  std::optional<std::int64_t> expires_s;
  for (JsonMembers members(*object); members.next();) {
    const std::string_view name = members.name();
    const JsonValue& value = members.value();
    bool good = false;
    if (name == "jti") good = (jti = printable_string(value, kJtiBytesMax)).has_value();
    if (name == "subject") good = (subject = printable_string(value, kSubjectBytesMax)).has_value();
    if (name == "issued_before") good = (issued_before_s = time_of(value)).has_value();
    if (name == "expires") good = (expires_s = time_of(value)).has_value();
    if (!good) return std::nullopt;
  }
  const bool is_whole = expires_s && jti.has_value() != subject.has_value();
  if (!is_whole || (jti && issued_before_s)) return std::nullopt;
  Revocation revocation;
  revocation.kind = jti               ? Revocation::Kind::kToken
                    : issued_before_s ? Revocation::Kind::kSubjectBefore
                                      : Revocation::Kind::kSubject;
  revocation.name = jti ? *std::move(jti) : *std::move(subject);
  revocation.issued_before_s = issued_before_s.value_or(0);
  revocation.expires_s = *expires_s;
  return revocation;
}

// Cuts the first line off, without its end; nothing when no whole line is left.
std::optional<std::string_view> next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::optional<std::uint64_t> count_of(std::string_view first_line) {
  const Result<JsonValue> object = parse_strict_object(first_line, "line", Code::kDataLoss);
  if (!object) return std::nullopt;
  JsonMembers members(*object);
  if (!members.next() || members.name() != "revocations") return std::nullopt;
  return json_u64(members.value());
}

void append_line(std::string& out, std::string_view kind, std::string_view name,
                 std::int64_t expires_s) {
  fmt::format_to(std::back_inserter(out), "{{\"{}\":", kind);
  append_json_string(out, name);
  fmt::format_to(std::back_inserter(out), ",\"expires\":{}}}\n", expires_s);
}

}  // namespace

void Revocations::Entries::add(const Revocation& revocation) {
  const auto keep_later = [](std::int64_t& time, std::int64_t other) {
    time = std::max(time, other);
  };
  switch (revocation.kind) {
    case Revocation::Kind::kToken:
      keep_later(tokens[revocation.name], revocation.expires_s);
      return;
    case Revocation::Kind::kSubject:
      keep_later(subjects[revocation.name], revocation.expires_s);
      return;
    case Revocation::Kind::kSubjectBefore:
      Before& before = subjects_before[revocation.name];
      keep_later(before.issued_before_s, revocation.issued_before_s);
      keep_later(before.expires_s, revocation.expires_s);
  }
}

void Revocations::Entries::drop_expired(std::int64_t now_s) {
  const auto is_past = [now_s](const auto& entry) { return entry.second <= now_s; };
  std::erase_if(tokens, is_past);
  std::erase_if(subjects, is_past);
  std::erase_if(subjects_before,
                [now_s](const auto& entry) { return entry.second.expires_s <= now_s; });
}

std::string Revocations::Entries::to_text() const {
  std::string out = fmt::format("{{\"revocations\":{}}}\n", size());
  for (const auto& [name, expires_s] : tokens) append_line(out, "jti", name, expires_s);
  for (const auto& [name, expires_s] : subjects) append_line(out, "subject", name, expires_s);
  for (const auto& [name, before] : subjects_before) {
    out += "{\"subject\":";
    append_json_string(out, name);
    fmt::format_to(std::back_inserter(out), ",\"issued_before\":{},\"expires\":{}}}\n",
                   before.issued_before_s, before.expires_s);
  }
  return out;
}

Result<Revocations::Entries> Revocations::parse(std::string_view text) {
  const std::optional<std::string_view> first = next_line(text);
  const std::optional<std::uint64_t> count = first ? count_of(*first) : std::nullopt;
  if (!count) return Error{Code::kDataLoss, "line 1 does not say how many revocations follow"};
  Entries entries;
  std::size_t read = 0;
  for (; !text.empty(); ++read) {
    const std::optional<std::string_view> line = next_line(text);
    const std::optional<Revocation> revocation = line ? parse_line(*line) : std::nullopt;
    if (!revocation) {
      return Error{Code::kDataLoss, fmt::format("line {} is not a whole revocation", read + 2)};
    }
    entries.add(*revocation);
  }
  if (read != *count) {
    return Error{Code::kDataLoss, fmt::format("it has {} of {} revocations", read, *count)};
  }
  return entries;
}

Revocations::Revocations(std::string path, Entries entries)
    : path_(std::move(path)), entries_(std::make_shared<const Entries>(std::move(entries))) {}

Result<std::unique_ptr<Revocations>> Revocations::open(std::string path, std::int64_t now_s) {
  const Result<WholeFile> file = read_whole_file(path, kFileBytesMax);
  if (!file && file.error().code != Code::kNotFound) return file.error();
  Result<Entries> entries = file ? parse(file->bytes) : Entries();
  if (!entries) {
    return Error{Code::kDataLoss,
                 fmt::format("'{}': {}; restore it, or remove it to forget every revocation", path,
                             entries.error().message)};
  }
  entries->drop_expired(now_s);
  return std::unique_ptr<Revocations>(new Revocations(std::move(path), *std::move(entries)));
}

Status Revocations::add(const std::vector<Revocation>& revocations, std::int64_t now_s) {
  for (const Revocation& revocation : revocations) {
    if (const auto fault = fault_of(revocation); !fault.empty()) {
      return Error{Code::kBadArgument, std::string(fault)};
    }
    if (revocation.expires_s <= now_s) {
      return Error{Code::kBadArgument, "a revocation has expired already: nothing to refuse"};
    }
  }
  const std::lock_guard lock(adding_);
  auto next = std::make_shared<Entries>(*entries());
  next->drop_expired(now_s);
  for (const Revocation& revocation : revocations) next->add(revocation);
  if (next->size() > kRevocationsMax) {
    return Error{Code::kLimit,
                 fmt::format("there would be more than {} revocations: give them earlier ends, or "
                             "revoke subjects instead of tokens",
                             kRevocationsMax)};
  }
  if (Status written = replace_file(path_, next->to_text(), kFileMode); !written) return written;
  entries_.with([&next](auto& current) { current = std::move(next); });
  version_.fetch_add(1, std::memory_order_release);
  return {};
}

bool Revocations::is_revoked(std::string_view jti, std::string_view subject,
                             std::int64_t issued_at_s, std::int64_t now_s) const {
  const std::shared_ptr<const Entries> now = entries();
  if (!jti.empty()) {
    const auto token = now->tokens.find(jti);
    if (token != now->tokens.end() && token->second > now_s) return true;
  }
  const auto whole = now->subjects.find(subject);
  if (whole != now->subjects.end() && whole->second > now_s) return true;
  const auto before = now->subjects_before.find(subject);
  return before != now->subjects_before.end() && before->second.expires_s > now_s &&
         issued_at_s < before->second.issued_before_s;
}

std::size_t Revocations::size() const {
  return entries()->size();
}

std::shared_ptr<const Revocations::Entries> Revocations::entries() const {
  return entries_.with([](const auto& current) { return current; });
}

}  // namespace tidegate
