#include "nibble/eval/free_running.h"

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {

int64_t first_difference(std::span<const int32_t> a, std::span<const int32_t> b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return at == a.end() && other == b.end() ? -1 : at - a.begin();
}

std::vector<std::vector<int32_t>> prompts_from(const std::vector<ScoredSequence>& sequences,
                                               int64_t count, int64_t length) {
  const auto all = static_cast<int64_t>(sequences.size());
  count = std::min(count, all);
  std::vector<std::vector<int32_t>> out;
  for (int64_t i = 0; i < count; ++i) {
    const auto& ids = sequences[static_cast<size_t>(i * all / count)].ids;
    const auto half = (static_cast<int64_t>(ids.size()) + 1) / 2;
    if (half > 0) out.emplace_back(ids.begin(), ids.begin() + std::min(length, half));
  }
  return out;
}

std::vector<std::vector<int32_t>> continuations(const Decoder& model,
                                                const std::vector<std::vector<int32_t>>& prompts,
                                                int64_t tokens, DType kv, const Exec& exec) {
  GenerateOptions o;
  o.sampling.temperature = 0;
  o.kv = kv;
  std::vector<GenerateRequest> requests;
  for (const auto& prompt : prompts) {
    const int64_t room = model.config().context - static_cast<int64_t>(prompt.size()) + 1;
    requests.push_back({prompt, 0, {}, std::max<int64_t>(std::min(tokens, room), 1)});
  }
  return generate_batch(model, requests, o, exec).ids;
}

std::vector<double> prefix_agreement(const std::vector<std::vector<int32_t>>& base,
                                     const std::vector<std::vector<int32_t>>& model) {
  NIBBLE_CHECK(base.size() == model.size());
  // Only as far as every text goes, so that each element is over the same texts.
  size_t length = base.empty() ? 0 : base.front().size();
  for (const auto& ids : base) length = std::min(length, ids.size());
  std::vector<double> out(length, 0.0);
  for (size_t i = 0; i < base.size(); ++i) {
    const int64_t at = first_difference(base[i], model[i]);
    const size_t same = at < 0 ? length : std::min(static_cast<size_t>(at), length);
    for (size_t k = 0; k < same; ++k) out[k] += 1.0 / static_cast<double>(base.size());
  }
  return out;
}

}  // namespace nibble
