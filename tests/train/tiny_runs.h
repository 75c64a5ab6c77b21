// Small training runs that the trainer's tests share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/nn/losses.h"
#include "nibble/train/presets.h"
#include "nibble/train/trainer.h"
#include "tests/support/tiny_decoders.h"

namespace nibble::test {

using Sequences = std::vector<std::vector<int32_t>>;

// Words of a made-up language: something that can be learned.
inline Sequences words(int64_t count, int64_t context) {
  PyRandom random(11);
  Sequences out;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int32_t> ids = {26};
    const uint64_t syllables = 1 + random.below(4);
    for (uint64_t s = 0; s < syllables; ++s) {
      ids.push_back(static_cast<int32_t>(5 + random.below(8)));
      ids.push_back(static_cast<int32_t>(random.below(4)));
    }
    ids.push_back(26);
    ids.resize(std::min(ids.size(), static_cast<size_t>(context) + 1));
    out.push_back(ids);
  }
  return out;
}

inline TrainOptions micro_options(int64_t steps) {
  TrainOptions o = preset("micro");
  o.config.vocab_size = 27;
  o.steps = steps;
  o.batch = 32;
  return o;
}

inline TrainOptions gpt2_like_options(int64_t steps) {
  TrainOptions o = micro_options(steps);
  o.config.hidden_size = 24;
  o.config.heads = o.config.kv_heads = 2;
  o.config.head_dim = 12;
  o.config.intermediate_size = 40;
  o.config.layers = 2;
  o.config.norm = NormKind::layer;
  o.config.norm_gain = o.config.norm_bias = o.config.final_norm = true;
  o.config.embedding_norm = false;
  o.config.mlp = MlpKind::gelu_tanh;
  o.config.qkv_bias = o.config.o_bias = o.config.mlp_bias = o.config.tied = true;
  o.adam.clip_norm = 1;
  o.adam.weight_decay = 0.1;
  o.adam.warmup_steps = 3;
  return o;
}

inline TrainOptions options_of(const std::string& type, int64_t steps) {
  TrainOptions o = micro_options(steps);
  o.config = tiny_decoder_config(type);
  o.config.context = 16;
  o.batch = 16;
  o.adam.clip_norm = 1;
  return o;
}

inline TrainResult train(const TrainOptions& options, const Sequences& data, int threads = 1) {
  Trainer trainer(options, data);
  Exec exec;
  exec.threads = threads;
  trainer.run(exec);
  return trainer.result();
}

// Mean loss over the targets of some sequences, by the model's own logits.
inline double mean_loss(const Model& model, const Sequences& sequences) {
  double sum = 0;
  int64_t rows = 0;
  for (const std::vector<int32_t>& ids : sequences) {
    const std::vector<float> logits = logits_of_tokens(model, ids);
    const auto n = static_cast<size_t>(model.decoder_config().vocab_size);
    for (size_t i = 0; i + 1 < ids.size(); ++i, ++rows) {
      const auto row = std::span(logits).subspan(i * n, n);
      sum += log_sum_exp(row) - row[static_cast<size_t>(ids[i + 1])];
    }
  }
  return sum / static_cast<double>(rows);
}

inline void expect_same_bytes(const TrainResult& a, const TrainResult& b) {
  EXPECT_EQ(a.losses, b.losses);
  ASSERT_EQ(a.weights.size(), b.weights.size());
  for (const auto& [name, tensor] : a.weights) {
    EXPECT_EQ(std::memcmp(tensor.raw(), b.weights.at(name).raw(), tensor.bytes()), 0) << name;
  }
}

}  // namespace nibble::test
