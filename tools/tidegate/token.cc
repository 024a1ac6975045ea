#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "gateway/auth/jwt.h"
#include "gateway/auth/jwt_claims.h"
#include "gateway/auth/key_file.h"
#include "gateway/auth/token_verifier.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/place.h"
#include "tools/tidegate/services.h"
#include "tools/tidegate/verb.h"

namespace tidegate {
namespace {

constexpr std::int64_t kUsPerS = 1'000'000;
constexpr std::chrono::seconds kFetchPatience{5};

struct TokenOptions {
  // create
  std::string key;
  std::string kid;
  std::string algorithm;
  std::string subject;
  std::string id;
  std::vector<std::string> subscribe;
  std::vector<std::string> publish;
  bool is_admin = false;
  std::string life = "1h";
  // create and verify
  std::string issuer;
  std::string audience;
  // verify
  std::string keys;
  std::string ca_file;
  // inspect and verify
  std::string file = "-";
  // revoke
  std::string issued_before;
  std::string until = "24h";
};

std::int64_t now_s() {
  return SystemClock().wall_us() / kUsPerS;
}

Result<std::vector<Pattern>> to_patterns(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const std::string& text : texts) {
    auto pattern = Pattern::parse(text);
    if (!pattern) return pattern.error();
    patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

Result<std::optional<Algorithm>> to_algorithm(const std::string& name) {
  if (name.empty()) return std::optional<Algorithm>();
  const auto algorithm = algorithm_from_name(name);
  if (algorithm) return algorithm;
  return Error{Code::kBadArgument, fmt::format("'{}' is not an algorithm such as ES256", name)};
}

Result<int> create(Context& context, const TokenOptions& options) {
  const auto algorithm = to_algorithm(options.algorithm);
  if (!algorithm) return algorithm.error();
  const auto life_us = parse_duration(options.life);
  if (!life_us) return life_us.error();
  auto subscribe = to_patterns(options.subscribe);
  if (!subscribe) return subscribe.error();
  auto publish = to_patterns(options.publish);
  if (!publish) return publish.error();
  const auto key = load_signing_key(options.key, *algorithm, options.kid);
  if (!key) return key.error();
  JwtClaims claims;
  claims.issuer = options.issuer;
  claims.subject = options.subject;
  claims.audience = {options.audience};
  claims.issued_at_s = now_s();
  claims.expires_s = now_s() + *life_us / kUsPerS;
  claims.jti = options.id;
  claims.grants = {*std::move(subscribe), *std::move(publish), options.is_admin};
  const auto token = sign_jwt(key->key, key->kid, to_json(claims));
  if (!token) return token.error();
  context.output.write(*token + "\n");
  if (!context.output.flush()) return context.output.stopped();
  return kExitOk;
}

// Never from the arguments, which everybody on the machine sees.
Result<std::string> read_token(const TokenOptions& options) {
  std::string text;
  if (options.file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream file(options.file);
    if (!file) return Error{Code::kNotFound, fmt::format("cannot read {}", options.file)};
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::string joined(const std::vector<Pattern>& patterns) {
  std::string text;
  for (const Pattern& pattern : patterns) text += (text.empty() ? "" : " ") + pattern.text();
  return text;
}

Row row_of(std::string_view issuer, std::string_view subject, std::string_view id,
           std::int64_t expires_s, const Grants& grants) {
  return {Field::string("issuer", issuer),
          Field::string("subject", subject),
          Field::string("id", id),
          Field::time("expires", expires_s * kUsPerS),
          Field::string("subscribe", joined(grants.subscribe)),
          Field::string("publish", joined(grants.publish)),
          Field::boolean("admin", grants.is_admin)};
}

Result<int> inspect(Context& context, const TokenOptions& options) {
  const auto token = read_token(options);
  if (!token) return token.error();
  const auto jwt = parse_jwt(*token);
  if (!jwt) return jwt.error();
  const auto claims = parse_claims(jwt->payload);
  if (!claims) return claims.error();
  say("the signature was not looked at: see `tidegate token verify`");
  Row row = row_of(claims->issuer, claims->subject, claims->jti, claims->expires_s, claims->grants);
  row.push_back(Field::string("algorithm", algorithm_info(jwt->algorithm).name));
  row.push_back(Field::string("kid", jwt->kid.value_or("")));
  return context.output.print(row);
}

Result<int> verify(Context& context, const TokenOptions& options) {
  const auto token = read_token(options);
  if (!token) return token.error();
  const auto algorithm = to_algorithm(options.algorithm);
  if (!algorithm) return algorithm.error();
  IssuerConfig issuer{options.issuer, options.audience, options.keys, options.ca_file, {}};
  if (*algorithm) issuer.algorithms = {**algorithm};
  const SystemClock clock;
  auto verifier = TokenVerifier::open({issuer}, clock);
  if (!verifier) return verifier.error();
  (*verifier)->wait_for_keys(kFetchPatience);
  const auto verified = (*verifier)->verify(*token, now_s());
  if (!verified) return verified.error();
  return context.output.print(row_of(verified->issuer, verified->subject, verified->jti,
                                     verified->expires_s, verified->grants));
}

Result<int> revoke(Context& context, const TokenOptions& options) {
  v1::RevokeTokensRequest request;
  if (!options.id.empty()) request.set_token_id(options.id);
  if (!options.subject.empty()) request.set_subject(options.subject);
  if (!options.issued_before.empty()) {
    const auto place = parse_place(options.issued_before, SystemClock().wall_us());
    if (!place) return place.error();
    if (place->kind != Place::Kind::kTime) {
      return Error{Code::kBadArgument, fmt::format("'{}' is not a time", options.issued_before)};
    }
    request.mutable_issued_before()->set_seconds(place->time_us / kUsPerS);
  }
  const auto until_us = parse_duration(options.until);
  if (!until_us) return until_us.error();
  request.mutable_until()->set_seconds(now_s() + *until_us / kUsPerS);
  auto client = Client::make(context);
  if (!client) return client.error();
  auto response = call(**client, &v1::AdminService::Stub::RevokeTokens, request);
  if (!response) return response.error();
  say("revoked: live connections end within a second");
  return kExitOk;
}

void add_issuer(CLI::App& verb, TokenOptions& options) {
  verb.add_option("--issuer", options.issuer, "Who signs it (the claim iss)")->required();
  verb.add_option("--audience", options.audience, "Whom it is for (the claim aud)")->required();
  verb.add_option("--alg", options.algorithm, "Algorithm; else the natural one of the key")
      ->type_name("ES256|..");
}

void add_file(CLI::App& verb, TokenOptions& options) {
  verb.add_option("FILE", options.file, "File with the token; - reads standard input")
      ->capture_default_str();
}

void add_create(CLI::App& noun, Context& context, const std::shared_ptr<TokenOptions>& options) {
  CLI::App* verb =
      add_verb(noun, context, options, "create", "Sign a token with a key of your own", create);
  verb->add_option("--key", options->key, "Private key (PEM), or key set with a secret")
      ->type_name("FILE")
      ->required();
  verb->add_option("--kid", options->kid, "The key's name, for the token's head");
  add_issuer(*verb, *options);
  verb->add_option("--subject", options->subject, "Whose token it is (the claim sub)")->required();
  verb->add_option("--subscribe", options->subscribe, "Pattern of streams that it may read")
      ->type_name("PATTERN");
  verb->add_option("--publish", options->publish, "Pattern of streams that it may publish to")
      ->type_name("PATTERN");
  verb->add_flag("--admin", options->is_admin, "It may administer the gateway");
  verb->add_option("--life", options->life, "How long it is good: 10m, 1h, 1d")
      ->capture_default_str();
  verb->add_option("--id", options->id, "Name by which it can be revoked (the claim jti)");
  verb->footer(
      "Example:\n"
      "  umask 077  # keys that others may read are refused\n"
      "  openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt > "
      "key.pem\n"
      "  openssl pkey -in key.pem -pubout > public.pem  # the gateway's auth.issuers.keys\n"
      "  tidegate token create --key key.pem --issuer me --audience tidegate --subject ann \\\n"
      "      --subscribe 'orders.>' > token");
}

}  // namespace

void register_token(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("token", "Tokens: make, look at, check, revoke");
  noun->require_subcommand(1);
  const auto options = std::make_shared<TokenOptions>();
  add_create(*noun, context, options);
  add_file(*add_verb(*noun, context, options, "inspect", "What a token says, unverified", inspect),
           *options);
  CLI::App* check =
      add_verb(*noun, context, options, "verify", "Whether a gateway would accept a token", verify);
  add_file(*check, *options);
  add_issuer(*check, *options);
  check->add_option("--keys", options->keys, "Public key, key set, or https:// address of one")
      ->type_name("FILE|URL")
      ->required();
  check->add_option("--ca-file", options->ca_file, "Trusted for the address")->type_name("FILE");
  CLI::App* deny = add_verb(*noun, context, options, "revoke",
                            "Refuse tokens from now on, and end their connections", revoke);
  auto* id = deny->add_option("--id", options->id, "The token with this jti");
  auto* subject = deny->add_option("--subject", options->subject, "Every token of this subject");
  id->excludes(subject);
  deny->add_option("--issued-before", options->issued_before,
                   "Of the subject's: only those issued before this time (or -15m)")
      ->type_name("TIME")
      ->needs(subject);
  deny->add_option("--for", options->until, "How long: until the last of them has expired")
      ->capture_default_str();
}

}  // namespace tidegate
