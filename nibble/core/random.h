// Random numbers that are the same everywhere: MT19937 seeded and consumed exactly as CPython's
// random module does (Lib/random.py and Modules/_randommodule.c, 3.12), so that its runs can be
// repeated digit by digit.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {

class PyRandom {
 public:
  /// random.seed(n) for a non-negative int.
  explicit PyRandom(uint64_t seed);
  /// random.random(): 53 bits, in [0, 1).
  double random();
  /// random.getrandbits(k), 1 <= k <= 64.
  uint64_t getrandbits(int k);
  /// random._randbelow(n): uniform in [0, n), n >= 1.
  uint64_t below(uint64_t n);
  /// random.gauss(mu, sigma): Box-Muller in pairs, the second value kept for the next call.
  double gauss(double mu, double sigma);
  /// random.choices(range(len(weights)), weights)[0]: bisects the running sum.
  size_t choice(std::span<const double> weights);
  /// random.shuffle(list).
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i-- > 1;) std::swap(items[i], items[below(i + 1)]);
  }

  /// The whole state as text, for checkpoints; restore() throws Error{corrupt} on text that is not
  /// one.
  std::string save() const;
  static PyRandom restore(std::string_view text);

 private:
  PyRandom() = default;
  uint32_t next();
  std::array<uint32_t, 624> state_{};
  int index_ = 624;
  std::optional<double> gauss_next_;
};

}  // namespace nibble
