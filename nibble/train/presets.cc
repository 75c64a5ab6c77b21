#include "nibble/train/presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nibble/core/error.h"

namespace nibble {
namespace {

DecoderConfig micro_config(int64_t width, int64_t layers, int64_t heads, int64_t context) {
  DecoderConfig c;
  c.architecture = "micro_gpt";
  c.hidden_size = width;
  c.layers = layers;
  c.heads = c.kv_heads = heads;
  c.head_dim = width / heads;
  c.intermediate_size = 4 * width;
  c.context = context;
  c.embedding_norm = true;
  return c;
}

TrainOptions micro() {
  TrainOptions o;
  o.config = micro_config(16, 1, 4, 16);
  o.steps = 1000;
  o.batch = 16;
  return o;
}

TrainOptions demo() {
  TrainOptions o;
  o.config = micro_config(48, 1, 6, 16);
  o.steps = 2000;
  o.batch = 32;
  return o;
}

// Validation loss 1.73 after 2,000 steps of tinyshakespeare (docs/training.md).
TrainOptions characters() {
  TrainOptions o;
  o.config = micro_config(128, 4, 4, 64);
  o.adam = {.learning_rate = 3e-3,
            .beta1 = 0.9,
            .beta2 = 0.99,
            .warmup_steps = 100,
            .final_fraction = 0.1,
            .clip_norm = 1};
  o.steps = 2000;
  o.batch = 12;
  o.init_std = 0.02;
  o.random_windows = true;
  return o;
}

struct Row {
  std::string_view name;
  TrainOptions (*make)();
};
constexpr Row kPresets[] = {{"micro", micro}, {"demo", demo}, {"char", characters}};

}  // namespace

TrainOptions preset(std::string_view name) {
  for (const Row& r : kPresets) {
    if (r.name == name) return r.make();
  }
  throw invalid_argument(fmt::format("{} is not a preset; there are {}", in_quotes(name),
                                     fmt::join(preset_names(), ", ")));
}

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const Row& r : kPresets) names.push_back(r.name);
  return names;
}

}  // namespace nibble
