#pragma once

namespace tidegate {

// Makes a unique_ptr of a C library's type: std::unique_ptr<X509, Freed<X509_free>>.
// Thread: caller serialises.
template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

}  // namespace tidegate
