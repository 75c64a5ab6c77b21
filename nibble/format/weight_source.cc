#include "nibble/format/weight_source.h"

#include <utility>

#include "nibble/core/error.h"

namespace nibble {
namespace {

class MemoryWeights : public WeightSource {
 public:
  MemoryWeights(WeightMap weights, std::optional<int64_t> file_bytes)
      : weights_(std::move(weights)), file_bytes_(file_bytes) {}

  Weight get(std::string_view name) const override { return find(name); }
  StoredAs stored_as(std::string_view name) const override {
    const Weight& w = find(name);
    if (w.is_quantized()) return {w.quantized().scheme, w.quantized().scales.dtype()};
    return {std::nullopt, w.plain().dtype()};
  }
  int64_t file_bytes() const override {
    if (file_bytes_) return *file_bytes_;
    int64_t sum = 0;
    for (const auto& [key, w] : weights_) sum += static_cast<int64_t>(w.bytes());
    return sum;
  }

 private:
  const Weight& find(std::string_view name) const {
    const auto found = weights_.find(name);
    if (found == weights_.end())
      throw not_found("there is no such tensor").at("tensor " + in_quotes(name));
    return found->second;
  }
  WeightMap weights_;
  std::optional<int64_t> file_bytes_;
};

}  // namespace

std::shared_ptr<const WeightSource> weights_in_memory(WeightMap weights,
                                                      std::optional<int64_t> file_bytes) {
  return std::make_shared<MemoryWeights>(std::move(weights), file_bytes);
}

std::shared_ptr<const WeightSource> weights_in_memory(const TensorMap& weights) {
  return weights_in_memory(WeightMap(weights.begin(), weights.end()));
}

}  // namespace nibble
