#include "nibble/nn/dry.h"

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

// The tokens behind the last breaker: so far back a repetition may reach.
int64_t since_breaker(std::span<const int32_t> history, const DryBreakers& breakers) {
  const int64_t n = std::ssize(history);
  for (int64_t back = 0; back < n; ++back) {
    const auto found = breakers.find(history[static_cast<size_t>(n - 1 - back)]);
    if (found == breakers.end()) continue;
    int64_t longest = -1;
    for (const std::vector<int32_t>& tail : found->second) {
      const int64_t size = std::ssize(tail);
      if (size <= longest || size > back) continue;
      if (std::equal(tail.begin(), tail.end(), history.end() - back)) longest = size;
    }
    if (longest >= 0) return back - longest;
  }
  return n;
}

bool breaks_alone(int32_t id, const DryBreakers* breakers) {
  if (breakers == nullptr) return false;
  const auto found = breakers->find(id);
  return found != breakers->end() && std::any_of(found->second.begin(), found->second.end(),
                                                 [](const auto& tail) { return tail.empty(); });
}

// Of each i, how many of the last tokens of the history end at its i-th token from the end as well
// (the Z function of the history read backwards; Gusfield 1997).
std::vector<int64_t> matches(std::span<const int32_t> history) {
  const int64_t n = std::ssize(history);
  const auto back = [&](int64_t i) { return history[static_cast<size_t>(n - 1 - i)]; };
  std::vector<int64_t> z(static_cast<size_t>(n));
  for (int64_t i = 1, left = 0, right = 0; i < n; ++i) {
    int64_t length = i < right ? std::min(right - i, z[static_cast<size_t>(i - left)]) : 0;
    while (i + length < n && back(length) == back(i + length)) ++length;
    if (i + length > right) left = i, right = i + length;
    z[static_cast<size_t>(i)] = length;
  }
  return z;
}

}  // namespace

void penalize_repetition(std::span<float> logits, std::span<const int32_t> history,
                         const DryOptions& o) {
  const int64_t n = std::ssize(history);
  if (o.multiplier == 0 || n <= o.allowed_length) return;
  const DryBreakers* breakers = o.breakers.get();
  const int64_t reach = breakers == nullptr ? n : since_breaker(history, *breakers);
  if (reach < o.allowed_length) return;
  const std::vector<int64_t> z = matches(history);
  std::unordered_map<int32_t, int64_t> longest;
  for (int64_t i = 1; i < n; ++i) {
    const int64_t length = std::min(z[static_cast<size_t>(i)], reach);
    if (length < o.allowed_length) continue;
    int64_t& known = longest[history[static_cast<size_t>(n - i)]];
    known = std::max(known, length);
  }
  // Beyond it the power is no f32.
  const double most = o.base > 1.000001 ? 88.7228391 / std::log(o.base) : 1e9;
  for (const auto& [id, length] : longest) {
    if (breaks_alone(id, breakers)) continue;
    const double power = std::min(static_cast<double>(length - o.allowed_length), most);
    float& logit = logits[static_cast<size_t>(id)];
    logit = static_cast<float>(logit - o.multiplier * std::pow(o.base, power));
  }
}

}  // namespace nibble
