// Small random models and texts for tests.
#pragma once

#include <filesystem>
#include <string>

#include "nibble/core/random.h"
#include "nibble/model/model.h"
#include "nibble/train/presets.h"

namespace nibble {

inline const std::string kTinyText =
    "anna\nbela\ncarl\ndora\nemil\nfay\ngina\nhans\nida\njon\nkim\nleo\n";

/// The micro preset for the characters of kTinyText.
inline DecoderConfig tiny_config(const CharTokenizer& tokenizer) {
  DecoderConfig config = preset("micro").config;
  config.vocab_size = tokenizer.vocab_size();
  return config;
}

inline TensorMap random_weights(const ModelConfig& config, uint64_t seed, double deviation = 0.3) {
  PyRandom random(seed);
  TensorMap out;
  for (const ParamSpec& spec : parameter_table(config)) {
    Tensor t(DType::f32, spec.shape);
    for (float& v : t.mutable_data<float>()) v = static_cast<float>(random.gauss(0, deviation));
    out.emplace(spec.name, std::move(t));
  }
  return out;
}

/// Writes a micro_gpt folder with random weights and returns its path.
inline std::string write_tiny_model(const std::string& folder, uint64_t seed = 7) {
  std::filesystem::create_directories(folder);
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  const DecoderConfig config = tiny_config(tokenizer);
  write_model(folder, config, random_weights(config, seed), &tokenizer);
  return folder;
}

}  // namespace nibble
