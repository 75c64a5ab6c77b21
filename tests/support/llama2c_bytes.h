// The bytes of llama2.c's .bin files, made from a Llama's tensors by their Hugging Face names.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>

#include "nibble/model/model.h"

namespace nibble::test {

/// A tensor's values by its name.
using Values = std::function<std::vector<float>(const std::string&)>;

class Llama2cWriter {
 public:
  /// version 0, 1 or 2; group is for version 2.
  Llama2cWriter(const DecoderConfig& config, Values values, int version, int32_t group = 0)
      : c_(config), values_(std::move(values)), version_(version), group_(group) {}

  std::string bytes() {
    version_ == 0 ? legacy() : later();
    return out_;
  }
  /// What a reader of version 2 makes of a matrix: codes times scales.
  static std::vector<float> rounded(std::vector<float> w, int32_t group) {
    each_group(w, group, [](std::span<float> g, float scale) {
      for (float& v : g) v = std::nearbyint(v / scale) * scale;
    });
    return w;
  }

 private:
  static void each_group(std::vector<float>& w, int32_t group,
                         const std::function<void(std::span<float>, float)>& f) {
    for (size_t i = 0; i < w.size(); i += static_cast<size_t>(group)) {
      const auto g = std::span(w).subspan(i, static_cast<size_t>(group));
      float most = 0;
      for (const float v : g) most = std::max(most, std::abs(v));
      f(g, most > 0 ? most / 127.0f : 1.0f);
    }
  }
  template <class T>
  void put(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void sizes(bool sign_says_tied) {
    const auto number = [&](int64_t v) { put(static_cast<int32_t>(v)); };
    number(c_.hidden_size), number(c_.intermediate_size), number(c_.layers);
    number(c_.heads), number(c_.kv_heads);
    number(sign_says_tied && !c_.tied ? -c_.vocab_size : c_.vocab_size);
    number(c_.context);
  }
  void plain(const std::vector<float>& w) {
    out_.append(reinterpret_cast<const char*>(w.data()), w.size() * sizeof(float));
  }
  void matrix(std::vector<float> w) {
    if (version_ != 2) return plain(w);
    std::vector<float> scales;
    each_group(w, group_, [&](std::span<float> g, float scale) {
      for (const float v : g) put(static_cast<int8_t>(std::nearbyint(v / scale)));
      scales.push_back(scale);
    });
    plain(scales);
  }
  void norms(const std::string& name) {
    for (int64_t l = 0; l < c_.layers; ++l) plain(values_(in_layer(l, name)));
  }
  void matrices(const std::string& name, int64_t turned_heads = 0) {
    for (int64_t l = 0; l < c_.layers; ++l) {
      std::vector<float> w = values_(in_layer(l, name));
      matrix(turned_heads > 0 ? interleave(w, turned_heads) : w);
    }
  }
  // Rows of each head from two halves to neighbours.
  std::vector<float> interleave(const std::vector<float>& w, int64_t heads) const {
    const auto d = static_cast<size_t>(c_.head_dim), k = static_cast<size_t>(c_.hidden_size);
    std::vector<float> out(w.size());
    for (size_t h = 0; h < static_cast<size_t>(heads); ++h) {
      for (size_t i = 0; i < d; ++i) {
        const size_t from = h * d + i, to = h * d + 2 * (i % (d / 2)) + i / (d / 2);
        std::copy_n(w.begin() + static_cast<int64_t>(from * k), k,
                    out.begin() + static_cast<int64_t>(to * k));
      }
    }
    return out;
  }
  static std::string in_layer(int64_t l, const std::string& name) {
    return "model.layers." + std::to_string(l) + "." + name + ".weight";
  }
  void attention() {
    matrices("self_attn.q_proj", c_.heads), matrices("self_attn.k_proj", c_.kv_heads);
    matrices("self_attn.v_proj"), matrices("self_attn.o_proj");
  }
  void mlp() { matrices("mlp.gate_proj"), matrices("mlp.down_proj"), matrices("mlp.up_proj"); }
  void legacy() {
    sizes(true);
    matrix(values_("model.embed_tokens.weight"));
    norms("input_layernorm"), attention(), norms("post_attention_layernorm"), mlp();
    plain(values_("model.norm.weight"));
    plain(std::vector<float>(static_cast<size_t>(c_.context * c_.head_dim), 0.5f));
    if (!c_.tied) matrix(values_("lm_head.weight"));
  }
  void later() {
    put(uint32_t{0x616b3432}), put(int32_t{version_});
    sizes(false);
    put(static_cast<uint8_t>(c_.tied));
    if (version_ == 2) put(group_);
    out_.resize(256, '\0');
    norms("input_layernorm"), norms("post_attention_layernorm");
    plain(values_("model.norm.weight"));
    matrix(values_("model.embed_tokens.weight"));
    attention(), mlp();
    if (!c_.tied) matrix(values_("lm_head.weight"));
  }

  const DecoderConfig& c_;
  Values values_;
  int version_;
  int32_t group_;
  std::string out_;
};

}  // namespace nibble::test
