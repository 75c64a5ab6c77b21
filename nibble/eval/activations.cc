#include "nibble/eval/activations.h"

#include <algorithm>

namespace nibble {

void ActivationCollector::observe(std::string_view name, std::span<const float> x, int64_t m,
                                  int64_t k) {
  auto found = inputs_.find(name);
  if (found == inputs_.end()) found = inputs_.emplace(std::string(name), Input{k, {}}).first;
  std::vector<float>& rows = found->second.rows;
  const int64_t held = static_cast<int64_t>(rows.size()) / k;
  const int64_t take = std::clamp<int64_t>(limit_ - held, 0, m);
  rows.insert(rows.end(), x.begin(), x.begin() + take * k);
}

std::vector<OutlierStats> ActivationCollector::outliers(double sigmas) const {
  std::vector<OutlierStats> out;
  for (const auto& [name, input] : inputs_) {
    const auto k = static_cast<size_t>(input.width), m = input.rows.size() / k;
    std::vector<float> by_channel(input.rows.size());
    for (size_t r = 0; r < m; ++r) {
      for (size_t c = 0; c < k; ++c) by_channel[c * m + r] = input.rows[r * k + c];
    }
    out.push_back(find_outliers(name, by_channel, input.width, static_cast<int64_t>(m), sigmas));
  }
  return out;
}

std::vector<OutlierStats> activation_outliers(const Decoder& model,
                                              const std::vector<std::vector<int32_t>>& sequences,
                                              int64_t rows, double sigmas, const Exec& exec) {
  ActivationCollector collector(rows);
  Exec observed = exec.single();
  observed.observer = &collector;
  int64_t seen = 0;
  for (const auto& s : sequences) {
    if (seen >= rows) break;
    exec.check_stop();
    if (s.size() < 2) continue;
    KvCache cache = model.make_cache(static_cast<int64_t>(s.size()));
    model.forward(std::span(s).first(s.size() - 1), cache, Decoder::Logits::all, observed);
    seen += static_cast<int64_t>(s.size()) - 1;
  }
  return collector.outliers(sigmas);
}

}  // namespace nibble
