// Random LoRA adapters of small models, in memory and as folders.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "nibble/format/peft_adapter.h"
#include "nibble/format/quantized_layout.h"
#include "tests/support/tiny_model.h"

namespace nibble::test {

inline Tensor adapter_noise(Shape shape, PyRandom& random, double deviation) {
  Tensor out(DType::f32, std::move(shape));
  for (float& v : out.mutable_data<float>()) v = static_cast<float>(random.gauss(0, deviation));
  return out;
}

/// Every matrix inside the layers changed, by rank 2 and alpha 6.
inline PeftAdapter random_adapter(const ModelConfig& config, uint64_t seed,
                                  double deviation = 0.3) {
  PyRandom random(seed);
  PeftAdapter out;
  out.config.rank = 2;
  out.config.alpha = 6;
  out.config.targets.pattern = "all-linear";
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.layer < 0 || p.shape.rank() != 2 || p.role == Role::router_correction) continue;
    out.pairs[module_of(p.name)] = {adapter_noise({2, p.shape[1]}, random, deviation),
                                    adapter_noise({p.shape[0], 2}, random, deviation), 3.0, false};
  }
  return out;
}

/// Writes it and returns `folder`.
inline std::string put_adapter(const std::string& folder, const PeftAdapter& adapter) {
  std::filesystem::create_directories(folder);
  write_peft_adapter(folder, adapter);
  return folder;
}

/// A random one for the model in a folder; `deviation` of A and of B.
inline std::string adapter_for(const std::string& model, const std::string& folder, uint64_t seed,
                               double deviation = 0.3) {
  return put_adapter(folder, random_adapter(open_model(model).config, seed, deviation));
}

}  // namespace nibble::test
