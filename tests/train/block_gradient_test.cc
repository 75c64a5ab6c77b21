// The gradients of a block against central differences, and its forward pass against the decoder
// that inference runs, for everything that a block can be made of.
#include "nibble/train/block_gradient.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/model/layer_runner.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

constexpr double kStep = 1e-5, kWorst = 1e-7;  // as gradient_test.cc bounds it

struct Case {
  const char* name;
  DecoderConfig config;
  int64_t tokens;
};

DecoderConfig changed(const std::string& type, const std::function<void(DecoderConfig&)>& change) {
  DecoderConfig c = tiny_decoder_config(type);
  change(c);
  return c;
}

std::vector<Case> cases() {
  const auto plain = [](const char* type) { return Case{type, tiny_decoder_config(type), 7}; };
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
  return {plain("micro_gpt"),
          plain("gpt2"),
          plain("opt"),
          plain("llama"),
          plain("mistral"),
          plain("qwen2"),
          plain("qwen3"),
          {"exact gelu", changed("gpt2", [](auto& c) { c.mlp = MlpKind::gelu; }), 7},
          {"sliding window", changed("mistral", window), 7},
          {"window and norms", changed("qwen3", window), 7},
          {"yarn", changed("llama", stretched), 7},
          {"linear", changed("llama", linear), 7},
          {"llama3", changed("llama", llama3), 7},
          {"one key head", changed("llama", [](auto& c) { c.kv_heads = 1; }), 7},
          {"one token", tiny_decoder_config("llama"), 1}};
}

// Block `layer` of a random model, with a bias in every projection, so that it can be moved.
template <class T>
BlockWeights<T> random_block(const DecoderConfig& config, int layer, const TrainOps<T>& ops,
                             bool narrow = false) {
  const ModelFolder model = tiny_decoder(config, 11);
  const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
  const WeightRelease keep;
  BlockWeights<T> out =
      load_block_weights(config, ParameterFinder(config, load, keep), layer, narrow, ops);
  PyRandom random(3);
  for (BlockMatrix<T>* m : {&out.q, &out.k, &out.v, &out.o, &out.gate, &out.up, &out.down}) {
    if (m->bias.size() == 0 && m->n > 0) m->bias = Buffer<T>(m->n);
    for (T& v : m->bias) v = static_cast<T>(random.gauss(0, 0.3));
  }
  return out;
}

class Check {
 public:
  Check(const DecoderConfig& config, int layer, int64_t tokens)
      : config_(config),
        tokens_(tokens),
        weights_(random_block(config, layer, ref_train_ops_f64())),
        x_(tokens * config.hidden_size),
        out_(x_.size()),
        loss_of_(x_.size()) {
    PyRandom random(5);
    for (double& v : x_) v = random.gauss(0, 1);
    for (double& v : loss_of_) v = random.gauss(0, 1);
  }

  // A loss that is linear in what the block puts out, so that only the block is differentiated.
  double loss() {
    pass_.forward(weights_, tokens_, x_.data(), out_.data());
    double sum = 0;
    for (int64_t i = 0; i < out_.size(); ++i) sum += out_[i] * loss_of_[i];
    return sum;
  }

  double numeric(double& at) {
    const double kept = at;
    at = kept + kStep;
    const double above = loss();
    at = kept - kStep;
    const double below = loss();
    at = kept;
    return (above - below) / (2 * kStep);
  }

  // Fills dx_, and of every projection's outputs the sum over rows: what its bias has for gradient.
  void differentiate() {
    loss();
    dx_ = Buffer<double>(x_.size());
    std::copy(loss_of_.begin(), loss_of_.end(), dx_.begin());
    pass_.backward(weights_, dx_.data(), [&](Role role, const double* g) {
      const int64_t n = matrix(role).n;
      std::vector<double>& sum = sums_[role];
      sum.assign(static_cast<size_t>(n), 0.0);
      for (int64_t i = 0; i < tokens_ * n; ++i) sum[static_cast<size_t>(i % n)] += g[i];
    });
  }

  BlockMatrix<double>& matrix(Role role) {
    const std::map<Role, BlockMatrix<double>*> all = {
        {Role::q, &weights_.q},      {Role::k, &weights_.k},       {Role::v, &weights_.v},
        {Role::o, &weights_.o},      {Role::gate, &weights_.gate}, {Role::up, &weights_.up},
        {Role::down, &weights_.down}};
    return *all.at(role);
  }

  double worst_input(int64_t stride) {
    double worst = 0;
    for (int64_t i = 0; i < x_.size(); i += stride)
      worst = std::max(worst, std::abs(dx_[i] - numeric(x_[i])));
    return worst;
  }
  double worst_output(int64_t stride) {
    double worst = 0;
    for (const auto& [role, sum] : sums_) {
      for (size_t i = 0; i < sum.size(); i += static_cast<size_t>(stride))
        worst =
            std::max(worst, std::abs(sum[i] - numeric(matrix(role).bias[static_cast<int64_t>(i)])));
    }
    return worst;
  }
  size_t projections() const { return sums_.size(); }

 private:
  const DecoderConfig config_;
  int64_t tokens_;
  BlockWeights<double> weights_;
  Buffer<double> x_, out_, loss_of_, dx_;
  std::map<Role, std::vector<double>> sums_;
  BlockGradient<double> pass_{config_, ref_train_ops_f64()};
};

TEST(BlockGradient, EveryInputAndEveryOutputOfEveryArchitecture) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Check check(c.config, static_cast<int>(c.config.layers) - 1, c.tokens);
    check.differentiate();
    EXPECT_EQ(check.projections(), c.config.mlp == MlpKind::silu_gated ? 7U : 6U);
    EXPECT_LT(check.worst_input(1), kWorst);
    EXPECT_LT(check.worst_output(1), kWorst);
  }
}

// Longer than two tiles of queries, the last of which is not full; with a window keys begin inside
// a tile.
TEST(BlockGradient, SequencesOfSeveralTiles) {
  for (const int64_t window : {0, 50, 100}) {
    SCOPED_TRACE(window);
    const auto change = [&](DecoderConfig& c) {
      c.sliding_window = window, c.context = 256;
      if (window > 0) c.layer_kinds.assign(static_cast<size_t>(c.layers), LayerKind::window);
    };
    Check check(changed("mistral", change), 0, 150);
    check.differentiate();
    EXPECT_LT(check.worst_input(97), kWorst);
    EXPECT_LT(check.worst_output(11), kWorst);
  }
}

// What a later row does is nothing to an earlier one's loss, and a window ends what a row does.
TEST(BlockGradient, IsCausalAndEndsWithTheWindow) {
  const auto change = [](DecoderConfig& c) {
    c.sliding_window = 3;
    c.layer_kinds.assign(static_cast<size_t>(c.layers), LayerKind::window);
  };
  const DecoderConfig config = changed("mistral", change);
  const auto weights = random_block(config, 0, ref_train_ops_f64());
  const int64_t tokens = 9, width = config.hidden_size, row = 5;
  BlockGradient<double> pass(config, ref_train_ops_f64());
  Buffer<double> x(tokens * width), out(tokens * width), dx(tokens * width);
  PyRandom random(5);
  for (double& v : x) v = random.gauss(0, 1);
  pass.forward(weights, tokens, x.data(), out.data());
  for (int64_t i = 0; i < width; ++i) dx[row * width + i] = 1;
  pass.backward(weights, dx.data(), [](Role, const double*) {});
  for (int64_t r = 0; r < tokens; ++r) {
    const double* at = dx.data() + r * width;
    const bool reached = std::any_of(at, at + width, [](double v) { return v != 0; });
    EXPECT_EQ(reached, r <= row && r > row - 3) << r;
  }
}

// Several losses behind one forward pass: each gradient is what it is alone.
TEST(BlockGradient, BackwardCanBeRepeated) {
  for (const char* type : {"gpt2", "qwen3"}) {
    const DecoderConfig config = tiny_decoder_config(type);
    const auto weights = random_block(config, 0, best_train_ops());
    const int64_t tokens = 9, size = tokens * config.hidden_size;
    Buffer<float> x(size), first(size), again(size), other(size);
    PyRandom random(5);
    for (float& v : x) v = static_cast<float>(random.gauss(0, 1));
    for (int64_t i = 0; i < size; ++i) {
      first[i] = again[i] = static_cast<float>(random.gauss(0, 1));
      other[i] = static_cast<float>(random.gauss(0, 1));
    }
    BlockGradient<float> pass(config, best_train_ops());
    const OutputGradients<float> ignore = [](Role, const float*) {};
    pass.forward(weights, tokens, x.data(), x.data());
    for (Buffer<float>* dx : {&first, &other, &again}) pass.backward(weights, dx->data(), ignore);
    EXPECT_TRUE(std::equal(first.begin(), first.end(), again.begin())) << type;
    EXPECT_FALSE(std::equal(first.begin(), first.end(), other.begin())) << type;
  }
}

// |a - b| / |b|.
double distance(const Buffer<float>& a, const Buffer<float>& b) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    size += double{b[i]} * b[i];
  }
  return std::sqrt(difference / size);
}

// Rounding to bf16 changes a number by 2^-9 at most; a block has four products behind each
// other. (Not of relu, whose slope jumps where an input changes its sign.)
TEST(BlockGradient, NarrowProductsAreNearlyTheSame) {
  if (!has_bf16_products()) GTEST_SKIP() << "no bf16 products here";
  for (const char* type : {"gpt2", "llama", "qwen3"}) {
    SCOPED_TRACE(type);
    const DecoderConfig config = tiny_decoder_config(type);
    const int64_t tokens = 40, size = tokens * config.hidden_size;
    Buffer<float> out[2] = {Buffer<float>(size), Buffer<float>(size)},
                  dx[2] = {Buffer<float>(size), Buffer<float>(size)};
    for (const bool narrow : {false, true}) {
      const auto weights = random_block(config, 0, best_train_ops(), narrow);
      EXPECT_EQ(weights.up.narrow.empty(), !narrow);
      PyRandom random(5);
      for (float& v : out[narrow]) v = static_cast<float>(random.gauss(0, 1));
      for (float& v : dx[narrow]) v = static_cast<float>(random.gauss(0, 1));
      BlockGradient<float> pass(config, best_train_ops());
      pass.forward(weights, tokens, out[narrow].data(), out[narrow].data());
      pass.backward(weights, dx[narrow].data(), [](Role, const float*) {});
    }
    for (const Buffer<float>* both : {out, dx}) {
      const double far = distance(both[1], both[0]);
      EXPECT_GT(far, 1e-5);
      EXPECT_LT(far, 0.01);
    }
  }
}

TEST(BlockGradient, ForwardIsTheDecodersOwn) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const ModelFolder model = tiny_decoder(c.config, 11);
    const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
    const WeightRelease keep;
    const ParameterFinder find(c.config, load, keep);
    const LayerRunner walk(c.config, load);
    std::vector<int32_t> ids;
    for (int i = 0; i < std::min<int>(40, static_cast<int>(c.config.context)); ++i)
      ids.push_back((i * 7 + 3) % static_cast<int>(c.config.vocab_size));
    std::vector<float> x = walk.embed(ids);
    Buffer<float> own(std::ssize(x));
    BlockGradient<float> pass(c.config, best_train_ops());
    for (int layer = 0; layer < c.config.layers; ++layer) {
      std::copy(x.begin(), x.end(), own.begin());
      walk.run(walk.layer(layer), x);
      pass.forward(load_block_weights(c.config, find, layer, false, best_train_ops()),
                   std::ssize(ids), own.data(), own.data());
      double error = 0, size = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        error = std::max<double>(error, std::abs(own[static_cast<int64_t>(i)] - x[i]));
        size = std::max<double>(size, std::abs(x[i]));
      }
      EXPECT_LT(error, 1e-5 * size) << "block " << layer;
    }
  }
}

}  // namespace
}  // namespace nibble
