#include "gateway/auth/key_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/whole_file.h"
#include "gateway/auth/evp_key.h"

namespace tidegate {
namespace {

Error with_path(const std::string& path, const Error& error) {
  return {error.code, fmt::format("'{}': {}", path, error.message)};
}

// The text without white space at its beginning, as the value of a key file.
std::string_view content_of(const WholeFile& file) {
  const std::string_view text = file.bytes;
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

Error unknown_content(const std::string& path) {
  return {Code::kBadArgument,
          fmt::format("'{}' is neither a JSON Web Key Set nor a PEM text; a secret must be written "
                      "as a key of the kind \"oct\" in a key set",
                      path)};
}

}  // namespace

Result<KeySet> load_key_set(const std::string& path, const std::vector<Algorithm>& allowed) {
  const Result<WholeFile> file = read_whole_file(path, kKeyDocumentBytesMax);
  if (!file) return file.error();
  const std::string_view content = content_of(*file);
  const bool is_json = content.starts_with('{');
  if (!is_json && !is_pem(content)) return unknown_content(path);
  Result<KeySet> keys = is_json ? KeySet::from_jwks(content) : KeySet::from_pem(content, allowed);
  if (!keys) return with_path(path, keys.error());
  if (keys->has_secrets()) {
    if (Status is_private = check_private(path, file->mode); !is_private) {
      return is_private.error();
    }
  }
  return keys;
}

Result<NamedSigningKey> load_signing_key(const std::string& path,
                                         std::optional<Algorithm> algorithm,
                                         const std::string& kid) {
  const Result<WholeFile> file = read_whole_file(path, kKeyDocumentBytesMax);
  if (!file) return file.error();
  if (Status is_private = check_private(path, file->mode); !is_private) return is_private.error();
  const std::string_view content = content_of(*file);
  if (is_pem(content)) {
    Result<SigningKey> key = SigningKey::from_pem(content, algorithm);
    if (!key) return with_path(path, key.error());
    return NamedSigningKey{*std::move(key), kid};
  }
  if (!content.starts_with('{')) return unknown_content(path);
  const Result<KeySet> keys = KeySet::from_jwks(content);
  if (!keys) return with_path(path, keys.error());
  const VerificationKey* const found =
      keys->find(kid.empty() ? std::nullopt : std::optional(kid), Algorithm::kHs256);
  const bool is_secret = found != nullptr && is_symmetric(found->algorithm());
  if (!is_secret || (algorithm && !is_symmetric(*algorithm))) {
    return with_path(path, {Code::kBadArgument,
                            kid.empty() ? "it has not exactly one secret for HS256: name its kid"
                                        : "it has no secret for HS256 with this kid"});
  }
  Result<SigningKey> key = SigningKey::from_secret(std::string(found->secret()));
  if (!key) return with_path(path, key.error());
  return NamedSigningKey{*std::move(key), kid};
}

}  // namespace tidegate
