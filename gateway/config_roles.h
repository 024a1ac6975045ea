#pragma once

#include <vector>

#include "gateway/config_issuers.h"

namespace tidegate {

// Reads the value of `auth.certificates`, an array of tables; whatever is wrong with it is told.
// For config_values.cc only. Thread: any (pure function).
std::vector<CertificateRole> read_certificate_roles(const toml::node& value, const TellError& tell);

}  // namespace tidegate
