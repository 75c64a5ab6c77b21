#include "nibble/core/key_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <random>

namespace nibble {
namespace {

constexpr size_t kSmallest = 32;

struct SipState {
  std::array<uint64_t, 4> v;

  void round() {
    v[0] += v[1], v[2] += v[3];
    v[1] = std::rotl(v[1], 13) ^ v[0], v[3] = std::rotl(v[3], 16) ^ v[2];
    v[0] = std::rotl(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = std::rotl(v[1], 17) ^ v[2], v[3] = std::rotl(v[3], 21) ^ v[0];
    v[2] = std::rotl(v[2], 32);
  }
  void take(uint64_t word) {
    v[3] ^= word;
    round();
    v[0] ^= word;
  }
  uint64_t finish(uint64_t mark) {
    v[static_cast<size_t>(mark == 0xEE ? 2 : 1)] ^= mark;
    for (int i = 0; i < 3; ++i) round();
    return v[0] ^ v[1] ^ v[2] ^ v[3];
  }
};

// The key is a secret of this process; no result ever depends on it.
std::array<uint64_t, 2> draw_key() {
  std::random_device random;
  std::array<uint64_t, 2> key;
  for (uint64_t& k : key) k = uint64_t{random()} << 32 | random();
  return key;
}

}  // namespace

KeySet::Fingerprint KeySet::fingerprint(std::string_view text) {
  static const std::array<uint64_t, 2> key = draw_key();
  SipState s{{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xEE,
              key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573}};
  size_t i = 0;
  for (; text.size() - i >= 8; i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    s.take(word);
  }
  uint64_t last = uint64_t{text.size()} << 56;
  for (size_t j = 0; i + j < text.size(); ++j)
    last |= uint64_t{static_cast<unsigned char>(text[i + j])} << (8 * j);
  s.take(last);
  Fingerprint out;
  out.low = s.finish(0xEE);
  out.high = s.finish(0xDD) | 1;  // never the empty slot
  return out;
}

KeySet::Fingerprint& KeySet::slot(const Fingerprint& f) {
  size_t i = f.low & (slots_.size() - 1);
  while (slots_[i] != Fingerprint{} && slots_[i] != f) i = (i + 1) & (slots_.size() - 1);
  return slots_[i];
}

void KeySet::grow() {
  std::vector<Fingerprint> old(std::max(kSmallest, slots_.size() * 2));
  old.swap(slots_);
  for (const Fingerprint& f : old) {
    if (f != Fingerprint{}) slot(f) = f;
  }
}

bool KeySet::insert(std::string_view text) {
  if (count_ * 4 >= slots_.size() * 3) grow();
  const Fingerprint f = fingerprint(text);
  Fingerprint& place = slot(f);
  if (place == f) return false;
  place = f;
  ++count_;
  return true;
}

void KeySet::clear() {
  if (slots_.size() > kSmallest) {
    std::vector<Fingerprint>().swap(slots_);
  } else if (count_ != 0) {
    std::fill(slots_.begin(), slots_.end(), Fingerprint{});
  }
  count_ = 0;
}

}  // namespace nibble
