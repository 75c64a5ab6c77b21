#include "nibble/eval/token_choice.h"

#include <algorithm>
#include <numeric>

#include "nibble/nn/losses.h"

namespace nibble {

ChosenChance chances(std::span<const float> logits, int32_t chosen, int64_t best) {
  const double sum = log_sum_exp(logits);
  const auto chance = [&](int32_t id) {
    return TokenChance{id, logits[static_cast<size_t>(id)] - sum};
  };
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto n = std::min(best, std::ssize(order));
  std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  ChosenChance out{chance(chosen), {}};
  for (int64_t i = 0; i < n; ++i) out.best.push_back(chance(order[static_cast<size_t>(i)]));
  return out;
}

TokenChoice::TokenChoice(std::span<const int32_t> prompt, const GenerateOptions& options,
                         const PyRandom& random)
    : options_(options),
      random_(random),
      prompt_(std::ssize(prompt)),
      history_(prompt.begin(), prompt.end()) {}

std::optional<int32_t> TokenChoice::choose(std::span<const float> logits) {
  const int32_t token = sample(logits, history_, options_.sampling, random_);
  if (std::find(options_.stop.begin(), options_.stop.end(), token) != options_.stop.end())
    return std::nullopt;
  history_.push_back(token);
  if (options_.logprobs) logprobs_.push_back(chances(logits, token, *options_.logprobs));
  return token;
}

}  // namespace nibble
