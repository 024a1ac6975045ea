#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"

struct evp_pkey_st;
struct x509_st;

namespace tidegate::test {

// Signs certificates for servers and clients of a test, as PEM files of its own folder.
// Thread: caller serialises.
class CertificateAuthority {
 public:
  CertificateAuthority();
  ~CertificateAuthority();

  // Its own certificate.
  std::string file() const { return files_.file("ca.pem"); }

  struct Wanted {
    std::string names = "IP:127.0.0.1";  // subjectAltName as OpenSSL writes it
    std::int64_t begins_in_s = -3600;
    std::int64_t ends_in_s = 3600;
  };
  struct Files {
    std::string certificate;
    std::string key;  // for the owner only
  };
  // Makes NAME.pem and NAME.key, or puts new ones there. Each has another serial number.
  Files issue(const std::string& name, const Wanted& wanted) const;
  Files issue(const std::string& name) const { return issue(name, Wanted()); }

 private:
  TempDir files_;
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> certificate_;
  mutable long last_serial_ = 1;
};

}  // namespace tidegate::test
