#include "nibble/core/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <numbers>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr size_t kWords = 624, kMiddle = 397;
constexpr std::string_view kEngine = "mt19937";

using State = std::array<uint32_t, kWords>;

void init_genrand(State& mt, uint32_t seed) {
  mt[0] = seed;
  for (uint32_t i = 1; i < kWords; ++i) {
    mt[i] = 1812433253U * (mt[i - 1] ^ (mt[i - 1] >> 30)) + i;
  }
}

// Matsumoto and Nishimura's seeding by an array, which CPython feeds the 32-bit digits of the seed.
void init_by_array(State& mt, std::span<const uint32_t> key) {
  init_genrand(mt, 19650218U);
  size_t i = 1, j = 0;
  for (size_t k = std::max(kWords, key.size()); k > 0; --k) {
    mt[i] =
        (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1664525U)) + key[j] + static_cast<uint32_t>(j);
    if (++i >= kWords) mt[0] = mt[kWords - 1], i = 1;
    if (++j >= key.size()) j = 0;
  }
  for (size_t k = kWords - 1; k > 0; --k) {
    mt[i] = (mt[i] ^ ((mt[i - 1] ^ (mt[i - 1] >> 30)) * 1566083941U)) - static_cast<uint32_t>(i);
    if (++i >= kWords) mt[0] = mt[kWords - 1], i = 1;
  }
  mt[0] = 0x80000000U;
}

void refill(State& mt) {
  for (size_t k = 0; k < kWords; ++k) {
    const uint32_t y = (mt[k] & 0x80000000U) | (mt[(k + 1) % kWords] & 0x7fffffffU);
    mt[k] = mt[(k + kMiddle) % kWords] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
}

// Takes the next space-separated number off `text`.
template <class T>
T take_number(std::string_view& text, int base = 10) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) {
    throw corrupt("the saved state of the random numbers is damaged: a number is missing");
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

}  // namespace

PyRandom::PyRandom(uint64_t seed) {
  const uint32_t key[] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  init_by_array(state_, {key, key[1] == 0 ? size_t{1} : size_t{2}});
}

uint32_t PyRandom::next() {
  if (index_ >= static_cast<int>(kWords)) {
    refill(state_);
    index_ = 0;
  }
  uint32_t y = state_[static_cast<size_t>(index_++)];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

double PyRandom::random() {
  const uint32_t high = next() >> 5, low = next() >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

uint64_t PyRandom::getrandbits(int k) {
  NIBBLE_CHECK(k >= 1 && k <= 64);
  if (k <= 32) return next() >> (32 - k);
  const uint64_t low = next();
  return low | (static_cast<uint64_t>(next() >> (64 - k)) << 32);
}

uint64_t PyRandom::below(uint64_t n) {
  NIBBLE_CHECK(n >= 1);
  const int bits = std::bit_width(n);
  uint64_t r = getrandbits(bits);
  while (r >= n) r = getrandbits(bits);
  return r;
}

double PyRandom::gauss(double mu, double sigma) {
  if (gauss_next_) {
    const double z = *gauss_next_;
    gauss_next_.reset();
    return mu + z * sigma;
  }
  const double angle = random() * (2.0 * std::numbers::pi);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - random()));
  gauss_next_ = std::sin(angle) * radius;
  return mu + std::cos(angle) * radius * sigma;
}

size_t PyRandom::choice(std::span<const double> weights) {
  std::vector<double> sums(weights.begin(), weights.end());
  for (size_t i = 1; i < sums.size(); ++i) sums[i] = sums[i - 1] + sums[i];
  if (sums.empty() || !(sums.back() > 0) || !std::isfinite(sums.back())) {
    throw invalid_argument("the weights of a random choice must have a positive, finite sum");
  }
  const double x = random() * sums.back();
  // bisect_right over all but the last, as random.choices() bounds it.
  return static_cast<size_t>(std::upper_bound(sums.begin(), sums.end() - 1, x) - sums.begin());
}

std::string PyRandom::save() const {
  std::string out = fmt::format("{} {}", kEngine, index_);
  for (uint32_t word : state_) out += fmt::format(" {:x}", word);
  // The kept half of a gauss() pair by its bits, so that nothing is lost.
  out += gauss_next_ ? fmt::format(" g{:x}", std::bit_cast<uint64_t>(*gauss_next_)) : " -";
  return out;
}

PyRandom PyRandom::restore(std::string_view text) {
  if (!text.starts_with(kEngine)) {
    throw corrupt(
        fmt::format("the saved state of the random numbers does not begin with \"{}\"", kEngine));
  }
  text.remove_prefix(kEngine.size());
  PyRandom out;
  out.index_ = take_number<int>(text);
  if (out.index_ < 0 || out.index_ > static_cast<int>(kWords)) {
    throw corrupt("the saved state of the random numbers has a position outside its 624 words");
  }
  for (uint32_t& word : out.state_) word = take_number<uint32_t>(text, 16);
  if (text == " -") return out;
  if (!text.starts_with(" g")) throw corrupt("the saved state of the random numbers is cut short");
  text.remove_prefix(2);
  out.gauss_next_ = std::bit_cast<double>(take_number<uint64_t>(text, 16));
  if (!text.empty())
    throw corrupt("the saved state of the random numbers has bytes behind its end");
  return out;
}

}  // namespace nibble
