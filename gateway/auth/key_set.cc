#include "gateway/auth/key_set.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/auth/jwk.h"
#include "gateway/auth/strict_json.h"

namespace tidegate {
namespace {

Error bad_document(std::string message) {
  return {Code::kBadArgument, std::move(message)};
}

// The member `keys` of the document.
Result<JsonValue> keys_member(std::string_view json) {
  const Result<JsonValue> document = parse_strict_object(json, "the key set", Code::kBadArgument);
  if (!document) return document.error();
  for (JsonMembers members(*document); members.next();) {
    if (members.name() == "keys" && members.value().is(JsonKind::kArray)) return members.value();
  }
  return bad_document("the key set has no array \"keys\"");
}

}  // namespace

Result<KeySet> KeySet::from_jwks(std::string_view json) {
  if (json.size() > kKeyDocumentBytesMax) {
    return bad_document(
        fmt::format("the key set is larger than the {} bytes allowed", kKeyDocumentBytesMax));
  }
  const Result<JsonValue> keys = keys_member(json);
  if (!keys) return keys.error();
  KeySet set;
  std::size_t number = 0;
  for (JsonElements walk(*keys); walk.next();) {
    ++number;
    if (!walk.value().is(JsonKind::kObject)) {
      return bad_document(fmt::format("key {} of the key set: not an object", number));
    }
    Result<std::optional<Jwk>> jwk = parse_jwk(walk.value());
    if (!jwk) {
      return bad_document(fmt::format("key {} of the key set: {}", number, jwk.error().message));
    }
    if (!*jwk) continue;
    if ((*jwk)->kid && !set.by_kid_.emplace(*(*jwk)->kid, set.keys_.size()).second) {
      return bad_document(
          fmt::format("key {} of the key set: its \"kid\" is that of another key", number));
    }
    set.keys_.push_back(std::move((*jwk)->key));
  }
  if (set.keys_.empty()) {
    return bad_document(
        fmt::format("the key set has no key that can verify tokens ({} passed over)", number));
  }
  return set;
}

Result<KeySet> KeySet::from_pem(std::string_view pem, const std::vector<Algorithm>& allowed) {
  Result<VerificationKey> key = VerificationKey::from_pem(pem, allowed);
  if (!key) return key.error();
  KeySet set;
  set.keys_.push_back(*std::move(key));
  set.is_nameless_ = true;
  return set;
}

const VerificationKey* KeySet::find(const std::optional<std::string>& kid,
                                    Algorithm algorithm) const {
  if (is_nameless_) return &keys_.front();
  if (kid) {
    const auto found = by_kid_.find(*kid);
    return found == by_kid_.end() ? nullptr : &keys_[found->second];
  }
  const VerificationKey* only = nullptr;
  for (const VerificationKey& key : keys_) {
    if (key.algorithm() != algorithm) continue;
    if (only != nullptr) return nullptr;
    only = &key;
  }
  return only;
}

bool KeySet::has_secrets() const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [](const VerificationKey& key) { return is_symmetric(key.algorithm()); });
}

}  // namespace tidegate
