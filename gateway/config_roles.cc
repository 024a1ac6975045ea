#include "gateway/config_roles.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace tidegate {
namespace {

void read_patterns(std::string_view name, const toml::node& node, const TellError& tell,
                   std::vector<Pattern>& patterns) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() > kGrantPatternsMax) {
    return tell(node.source(),
                fmt::format("auth.certificates.{} must be a list of at most {} patterns such as "
                            "[\"orders.>\"]",
                            name, kGrantPatternsMax));
  }
  for (const toml::node& element : *list) {
    auto pattern = Pattern::parse(element.value_exact<std::string>().value_or(""));
    if (pattern) {
      patterns.push_back(*std::move(pattern));
    } else {
      tell(element.source(),
           fmt::format("auth.certificates.{}: {}", name, pattern.error().message));
    }
  }
}

void read_key(std::string_view name, const toml::node& node, const TellError& tell,
              CertificateRole& role) {
  if (name == "san") {
    role.name = node.value_exact<std::string>().value_or("");
    if (!role.name.empty() && role.name.size() <= kCertificateNameBytesMax) return;
    return tell(node.source(), fmt::format("auth.certificates.san must be a text in quotes of at "
                                           "most {} bytes, such as \"spiffe://prod/orders\"",
                                           kCertificateNameBytesMax));
  }
  if (name == "admin") {
    const auto is_admin = node.value_exact<bool>();
    role.grants.is_admin = is_admin.value_or(false);
    if (is_admin) return;
    return tell(node.source(), "auth.certificates.admin must be true or false");
  }
  if (name == "subscribe") return read_patterns(name, node, tell, role.grants.subscribe);
  if (name == "publish") return read_patterns(name, node, tell, role.grants.publish);
  tell(node.source(), fmt::format("unknown key \"auth.certificates.{}\"", name));
}

}  // namespace

std::vector<CertificateRole> read_certificate_roles(const toml::node& value,
                                                    const TellError& tell) {
  std::vector<CertificateRole> roles;
  const toml::array* list = value.as_array();
  if (list == nullptr || !list->is_homogeneous(toml::node_type::table)) {
    tell(value.source(), "auth.certificates must be a list of tables: write [[auth.certificates]]");
    return roles;
  }
  for (const toml::node& element : *list) {
    const toml::table& table = *element.as_table();
    CertificateRole role;
    for (const auto& [name, node] : table) read_key(name.str(), node, tell, role);
    if (!table.contains("san")) tell(table.source(), "auth.certificates: a role has no san");
    const bool is_known =
        std::any_of(roles.begin(), roles.end(),
                    [&role](const CertificateRole& other) { return other.name == role.name; });
    if (is_known)
      tell(table.source(), fmt::format("auth.certificates: \"{}\" stands there twice", role.name));
    roles.push_back(std::move(role));
  }
  return roles;
}

}  // namespace tidegate
