// Mlp: a stack of Linear layers with ReLU between them, for the classifier tutorial (784-512-512-10
// on MNIST).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/model/config.h"
#include "nibble/model/decoder.h"
#include "nibble/model/mlp.h"
#include "nibble/nn/linear.h"

namespace nibble {

/// config.json of model_type "mlp": {"sizes": [784, 512, 512, 10]}. Errors name the key.
MlpConfig read_mlp_config(const JsonFields& fields);
void write_mlp_config(const MlpConfig& config, JsonWriter& out);

class Mlp {
 public:
  Mlp(const MlpConfig& config, const WeightLoader& load, const LinearOptions& options = {});
  const MlpConfig& config() const { return config_; }
  /// Outputs [m, sizes.back()] for inputs x [m, sizes.front()].
  std::vector<float> forward(std::span<const float> x, int64_t m, const Exec& exec) const;
  size_t memory_bytes() const;
  void for_each_linear(const std::function<void(const LinearGroup&, size_t)>& f) const;

 private:
  MlpConfig config_;
  std::vector<LinearGroup> layers_;
};

}  // namespace nibble
