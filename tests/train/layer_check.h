// Layers of small random models, and all their gradients against central differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/train/layer_gradient.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {

inline constexpr double kDifference = 1e-5, kWorst = 1e-7;  // as gradient_test.cc bounds it

struct Case {
  std::string name;
  DecoderConfig config;
  int64_t tokens;
};

inline DecoderConfig changed(const std::string& type,
                             const std::function<void(DecoderConfig&)>& change) {
  DecoderConfig c = tiny_decoder_config(type);
  change(c);
  return c;
}

inline std::vector<Case> cases() {
  const auto window = [](DecoderConfig& c) {
    c.sliding_window = 3, c.layer_kinds = {LayerKind::full, LayerKind::window};
  };
  const auto stretched = [](DecoderConfig& c) {
    c.rope = {.theta = 100, .scaling = RopeScaling::yarn, .factor = 4, .original_context = 16};
  };
  const auto linear = [](DecoderConfig& c) {
    c.rope.scaling = RopeScaling::linear, c.rope.factor = 2;
  };
  const auto llama3 = [](DecoderConfig& c) {
    c.rope = {.theta = 100, .scaling = RopeScaling::llama3, .factor = 4, .original_context = 16};
  };
  std::vector<Case> out;
  for (const std::string_view type : architecture_names())
    out.push_back({std::string(type), tiny_decoder_config(std::string(type)), 7});
  const Case more[] = {
      {"biases of a convolution", changed("lfm2", [](auto& c) { c.conv_bias = true; }), 7},
      {"softcap and GEGLU of experts",
       changed("mixtral",
               [](auto& c) {
                 c.attention_softcap = 2;
                 c.mlp = MlpKind::gelu_tanh_gated;
               }),
       7},
      {"exact gelu", changed("gpt2", [](auto& c) { c.mlp = MlpKind::gelu; }), 7},
      {"sliding window", changed("mistral", window), 7},
      {"window and norms", changed("qwen3", window), 7},
      {"yarn", changed("llama", stretched), 7},
      {"linear", changed("llama", linear), 7},
      {"llama3", changed("llama", llama3), 7},
      {"one key head", changed("llama", [](auto& c) { c.kv_heads = 1; }), 7},
      {"gate without a norm", changed("falcon_h1", [](auto& c) { c.mamba.norm = GateNorm::none; }),
       7},
      {"norm behind a gate beside attention",
       changed("falcon_h1", [](auto& c) { c.mamba.norm = GateNorm::behind; }), 7},
      {"no bias of a convolution",
       changed("nemotron_h", [](auto& c) { c.mamba.conv_bias = false; }), 7},
      {"one token", tiny_decoder_config("llama"), 1},
      {"halves in turn", changed("gpt_neox", [](auto& c) { c.halves = Halves::in_turn; }), 7}};
  out.insert(out.end(), std::begin(more), std::end(more));
  return out;
}

// Layer `layer` of a random model, with a bias in every projection, so that it can be moved.
template <class T>
LayerWeights<T> random_layer(const DecoderConfig& config, int layer, const TrainOps<T>& ops,
                             bool narrow = false, uint64_t seed = 11) {
  const Model model = tiny_decoder(config, seed);
  const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
  const WeightRelease keep;
  LayerWeights<T> out =
      load_layer_weights(config, ParameterFinder(config, load, keep), layer, narrow, ops);
  PyRandom random(3);
  for (auto& [key, m] : out.matrices) {
    if (key.role == Role::router) continue;
    if (m.bias.size() == 0) m.bias = Buffer<T>(m.n);
    for (T& v : m.bias) v = static_cast<T>(random.gauss(0, 0.3));
  }
  return out;
}

// All layers of a model from `first` on, and every gradient of them for one loss.
class Check {
 public:
  Check(const DecoderConfig& config, int first, std::vector<int64_t> starts)
      : config_(config),
        starts_(std::move(starts)),
        x_(starts_.back() * config.hidden_size),
        loss_of_(x_.size()) {
    for (int layer = first; layer < config.layers; ++layer) {
      weights_.push_back(random_layer(config_, layer, ops_));
      passes_.push_back(std::make_unique<LayerGradient<double>>(config_, layer, ops_));
    }
    for (const auto& w : weights_) views_.push_back(w.view());
    PyRandom random(5);
    for (double& v : x_) v = random.gauss(0, 1);
    for (double& v : loss_of_) v = random.gauss(0, 1);
  }

  // A loss that is linear in what the layers put out, so that only they are differentiated.
  double loss() {
    const double* out = x_.data();
    for (size_t i = 0; i < passes_.size(); ++i) out = passes_[i]->forward(views_[i], starts_, out);
    double sum = 0;
    for (int64_t i = 0; i < x_.size(); ++i) sum += out[i] * loss_of_[i];
    return sum;
  }

  // The central difference where `move(d)` adds d to something. Keys of almost no length, which a
  // delta layer makes units of, and what a gate of Mamba2 leaves little of for its norm bend faster
  // than a step of it: there Richardson's, of two steps.
  template <class F>
  double numeric(F move) {
    const double one = numeric(move, kDifference);
    const bool bends = config_.delta.taps > 0 || config_.mamba.taps > 0;
    return !bends ? one : (4 * one - numeric(move, 2 * kDifference)) / 3;
  }
  template <class F>
  double numeric(F move, double step) {
    move(step);
    const double above = loss();
    move(-2 * step);
    const double below = loss();
    move(step);
    return (above - below) / (2 * step);
  }

  // Fills dx_, of every projection's outputs the sum over rows (what its bias has for gradient),
  // and the gradients of all weights.
  void differentiate() {
    loss();
    dx_ = Buffer<double>(x_.size());
    std::copy(loss_of_.begin(), loss_of_.end(), dx_.begin());
    for (size_t i = passes_.size(); i-- > 0;) {
      const auto of = [&](const ParamKey& key) { return gradient_of(i, key); };
      const auto both = [&](const ParamKey& key) {
        return MatrixSlope<double>{of(key), of(key.with_bias(true))};
      };
      const auto into = layer_parts<double>(passes_[i]->plan(), weights_[i].layer, both, of);
      const auto hear = [&](const ParamKey& key, int64_t rows, const double* g) {
        const int64_t n = weights_[i].matrices.at(key).n;
        std::vector<double>& sum = sums_[key];
        sum.resize(static_cast<size_t>(n));
        for (int64_t j = 0; j < rows * n; ++j) sum[static_cast<size_t>(j % n)] += g[j];
      };
      passes_[i]->backward(dx_.data(), hear, &into);
    }
  }

  void expect_inputs(int64_t stride) {
    for (int64_t i = 0; i < x_.size(); i += stride)
      expect(dx_[i], numeric([&](double d) { x_[i] += d; }));
  }
  void expect_outputs(int64_t stride) {
    for (const auto& [key, sum] : sums_) {
      Buffer<double>& bias = matrix(key).bias;
      for (int64_t i = 0; i < bias.size(); i += stride)
        expect(sum[static_cast<size_t>(i)], numeric([&](double d) { bias[i] += d; }));
    }
  }
  void expect_weights(int64_t stride) {
    for (const auto& [key, gradient] : gradients_) {
      const bool is_matrix = !key.bias && weights_of(key).matrices.contains(key);
      for (int64_t i = 0; i < gradient.size(); i += stride) {
        expect(gradient[i], numeric([&](double d) {
                 if (!is_matrix) {
                   (key.bias && weights_of(key).matrices.contains(key.with_bias(false))
                        ? matrix(key.with_bias(false)).bias
                        : weights_of(key).vectors.at(key))[i] += d;
                   return;
                 }
                 TrainMatrix<double>& m = matrix(key);
                 m.weight[i] += d;
                 m.transposed[i % m.k * m.ld + i / m.k] += d;
               }));
      }
    }
  }
  const std::map<ParamKey, std::vector<double>>& sums() const { return sums_; }
  size_t parameters() const { return gradients_.size(); }
  double worst() const { return worst_; }

 private:
  void expect(double got, double wanted) {
    worst_ = std::max(worst_, std::abs(got - wanted) / std::max(1.0, std::abs(wanted)));
  }
  LayerWeights<double>& weights_of(const ParamKey& key) {
    return weights_[static_cast<size_t>(key.layer - weights_.front().layer)];
  }
  TrainMatrix<double>& matrix(const ParamKey& key) { return weights_of(key).matrices.at(key); }
  double* gradient_of(size_t i, const ParamKey& key) {
    int64_t size = 0;
    if (const auto m = weights_[i].matrices.find(key.with_bias(false));
        m != weights_[i].matrices.end())
      size = key.bias ? m->second.bias.size() : m->second.weight.size();
    else if (const auto v = weights_[i].vectors.find(key); v != weights_[i].vectors.end())
      size = v->second.size();
    if (size == 0) return nullptr;
    return (gradients_[key] = Buffer<double>(size)).data();
  }

  const DecoderConfig config_;
  const TrainOps<double>& ops_ = ref_train_ops_f64();
  const std::vector<int64_t> starts_;
  std::vector<LayerWeights<double>> weights_;
  std::vector<LayerView<double>> views_;
  std::vector<std::unique_ptr<LayerGradient<double>>> passes_;
  Buffer<double> x_, loss_of_, dx_;
  std::map<ParamKey, std::vector<double>> sums_;
  std::map<ParamKey, Buffer<double>> gradients_;
  double worst_ = 0;
};

}  // namespace nibble
