#include "nibble/model/shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <memory>

#include "nibble/model/architecture.h"

namespace nibble {
namespace {

// Each as its config.json would say it; sizes as published (llama-1b: TinyLlama's;
// stories260k: llama2.c's smallest).
struct ShapeRow {
  std::string_view name, config;
};
constexpr ShapeRow kShapes[] = {
    {"gpt2-124m", R"({"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768,
      "n_layer": 12, "n_head": 12})"},
    {"llama-1b", R"({"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048,
      "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
      "num_key_value_heads": 4, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
      "tie_word_embeddings": false})"},
    {"qwen2-0.5b", R"({"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
      "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
      "num_key_value_heads": 2, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
      "rope_theta": 1000000.0, "tie_word_embeddings": true})"},
    {"stories260k", R"({"model_type": "llama", "vocab_size": 512, "hidden_size": 64,
      "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
      "num_key_value_heads": 4, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
      "tie_word_embeddings": true})"},
};

constexpr double kDeviation = 0.02;

// SplitMix64 (Steele et al. 2014): quick, and good enough to measure with.
uint64_t next(uint64_t& state) {
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

class RandomWeights : public WeightSource {
 public:
  RandomWeights(const DecoderConfig& config, uint64_t seed)
      : seed_(seed), table_(parameter_table(config)) {}

  Weight get(std::string_view name) const override {
    const size_t i = index_of(name);
    Tensor out(DType::f32, table_[i].shape);
    if (out.shape().rank() == 1) {
      for (float& v : out.mutable_data<float>()) v = 1.0f;
      return out;
    }
    uint64_t state = seed_ * 1'000'003 + i;
    const auto scale = static_cast<float>(kDeviation * std::sqrt(3.0) / 0x1p23);
    for (float& v : out.mutable_data<float>()) {
      v = scale * static_cast<float>(static_cast<int64_t>(next(state) >> 40) - (int64_t{1} << 23));
    }
    return out;
  }
  StoredAs stored_as(std::string_view name) const override {
    (void)index_of(name);
    return {};
  }
  int64_t file_bytes() const override {
    int64_t sum = 0;
    for (const ParamSpec& p : table_) sum += p.shape.elements() * size_of(DType::f32);
    return sum;
  }

 private:
  size_t index_of(std::string_view name) const {
    for (size_t i = 0; i < table_.size(); ++i) {
      if (table_[i].name == name) return i;
    }
    throw not_found("no such tensor").at("tensor " + in_quotes(name));
  }
  uint64_t seed_;
  std::vector<ParamSpec> table_;
};

}  // namespace

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> out;
  for (const ShapeRow& r : kShapes) out.push_back(r.name);
  return out;
}

Model random_model(std::string_view shape, uint64_t seed) {
  for (const ShapeRow& r : kShapes) {
    if (r.name != shape) continue;
    const JsonFields fields = JsonFields::parse(r.config);
    const DecoderConfig config = architecture(fields.string("model_type")).read_config(fields);
    Model out;
    out.path = shape;
    out.config = config;
    out.weights = std::make_shared<RandomWeights>(config, seed);
    return out;
  }
  throw invalid_argument(
      fmt::format("`shape` {}: use one of {}", in_quotes(shape), fmt::join(shape_names(), ", ")));
}

}  // namespace nibble
