// KeySet: tells whether a string came before, in 32 bytes a string or less, whatever the strings.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nibble {

/// Remembers 128-bit fingerprints (SipHash-1-3, Aumasson and Bernstein 2012, under a key drawn for
/// each process), not the strings: among a million strings two different ones meet with a
/// probability below 1e-26, and nobody who does not know the key can make them meet or crowd the
/// table.
class KeySet {
 public:
  /// Adds `text`; false where it is there already.
  bool insert(std::string_view text);
  /// Forgets all; gives back the memory of a large table, so that clearing costs no more than
  /// filling did.
  void clear();

 private:
  struct Fingerprint {
    uint64_t low = 0, high = 0;
    bool operator==(const Fingerprint&) const = default;
  };
  static Fingerprint fingerprint(std::string_view text);
  /// The slot that holds `f`, or the empty one where it belongs.
  Fingerprint& slot(const Fingerprint& f);
  void grow();

  std::vector<Fingerprint> slots_;  // a power of two; zero is empty
  size_t count_ = 0;
};

}  // namespace nibble
