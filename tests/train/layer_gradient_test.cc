// The gradients of a layer against central differences, and its forward pass against the decoder
// that inference runs, for everything that a layer can be made of.
#include "nibble/train/layer_gradient.h"

#include <gtest/gtest.h>

#include <map>

#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/model/layer_runner.h"
#include "nibble/model/reference_layer.h"
#include "tests/train/layer_check.h"

namespace nibble {
namespace {

// The last layer, which is the one with a window and the one with attention.
TEST(LayerGradient, EveryInputAndEveryOutputOfEveryArchitecture) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Check check(c.config, static_cast<int>(c.config.layers) - 1, {0, c.tokens});
    check.differentiate();
    size_t members = 0;  // of sites
    const LayerPlan plan = gradient_plan(c.config, static_cast<int>(c.config.layers) - 1);
    for (const Site& site : plan.sites) members += site.members.size();
    if (c.config.experts == 0) {
      EXPECT_EQ(check.sums().size(), members);
    }
    check.expect_inputs(1);
    check.expect_outputs(1);
    EXPECT_LT(check.worst(), kWorst);
  }
}

// Of whole models: through every layer, every weight, gain, tap and router.
TEST(LayerGradient, EveryWeightOfEveryArchitecture) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Check check(c.config, 0, {0, c.tokens});
    check.differentiate();
    EXPECT_GE(check.parameters(), 6 * static_cast<size_t>(c.config.layers));
    check.expect_weights(11);
    EXPECT_LT(check.worst(), kWorst);
  }
}

// Several sequences at once: each begins anew.
TEST(LayerGradient, SequencesBesideEachOther) {
  for (const std::string_view type : architecture_names()) {
    SCOPED_TRACE(type);
    Check check(tiny_decoder_config(std::string(type)), 0, {0, 5, 6, 9});
    check.differentiate();
    check.expect_inputs(1);
    check.expect_weights(29);
    EXPECT_LT(check.worst(), kWorst);
  }
}

// Experts that no row went to are not heard of; the rows of the others are all rows, as often as
// each has experts.
TEST(LayerGradient, AnExpertHearsOfItsOwnRows) {
  const DecoderConfig config = tiny_decoder_config("mixtral");
  const auto weights = random_layer(config, 0, ref_train_ops_f64());
  const LayerView<double> view = weights.view();
  LayerGradient<double> pass(config, 0, ref_train_ops_f64());
  for (const int64_t tokens : {1, 9}) {
    Buffer<double> x(tokens * config.hidden_size), dx(x.size());
    PyRandom random(5);
    for (double& v : x) v = random.gauss(0, 1);
    for (double& v : dx) v = random.gauss(0, 1);
    pass.forward(view, tokens, x.data());
    std::map<Role, int64_t> rows;
    pass.backward(dx.data(), [&](const ParamKey& key, int64_t count, const double*) {
      EXPECT_GT(count, 0);
      if (key.expert >= 0) rows[key.role] += count;
    });
    EXPECT_EQ(rows.size(), 3U);
    for (const auto& [role, count] : rows) EXPECT_EQ(count, tokens * config.experts_per_token);
  }
}

// A view is made of whatever its maker says: another matrix in the place of one is as if the layer
// had been loaded with it.
TEST(LayerGradient, MultipliesWithTheWeightsItIsGiven) {
  const DecoderConfig config = tiny_decoder_config("llama");
  const auto own = random_layer(config, 0, ref_train_ops_f64());
  const auto other = random_layer(config, 0, ref_train_ops_f64(), false, 12);
  const ParamKey up{Role::up, 0};
  auto mixed = random_layer(config, 0, ref_train_ops_f64());
  auto third = random_layer(config, 0, ref_train_ops_f64(), false, 12);
  mixed.matrices[up] = std::move(third.matrices.at(up));
  const auto view = layer_parts<const double>(
      own.plan, 0,
      [&](const ParamKey& key) { return (key == up ? other : own).matrices.at(key).view(); },
      [&](const ParamKey& key) {
        const auto found = own.vectors.find(key);
        return found == own.vectors.end() ? nullptr : found->second.data();
      });
  const int64_t size = 5 * config.hidden_size;
  std::vector<std::vector<double>> results;
  for (const LayerView<double>& each : {view, mixed.view(), own.view()}) {
    Buffer<double> x(size), dx(size);
    PyRandom random(5);
    for (double& v : x) v = random.gauss(0, 1);
    LayerGradient<double> pass(config, 0, ref_train_ops_f64());
    std::copy_n(pass.forward(each, 5, x.data()), size, dx.data());
    pass.backward(dx.data(), {});
    results.emplace_back(dx.begin(), dx.end());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_NE(results[0], results[2]);
}

// Longer than two tiles of queries, the last of which is not full; with a window keys begin inside
// a tile.
TEST(LayerGradient, SequencesOfSeveralTiles) {
  for (const int64_t window : {0, 50, 100}) {
    SCOPED_TRACE(window);
    const auto change = [&](DecoderConfig& c) {
      c.sliding_window = window, c.context = 256;
      if (window > 0) c.layer_kinds.assign(static_cast<size_t>(c.layers), LayerKind::window);
      if (window == 50) c.attention_softcap = 2;
    };
    Check check(changed("mistral", change), 1, {0, 150});
    check.differentiate();
    check.expect_inputs(97);
    check.expect_outputs(11);
    EXPECT_LT(check.worst(), kWorst);
  }
}

// What a later row does is nothing to an earlier one's loss, and a window ends what a row does.
TEST(LayerGradient, IsCausalAndEndsWithTheWindow) {
  const auto change = [](DecoderConfig& c) {
    c.sliding_window = 3;
    c.layer_kinds.assign(static_cast<size_t>(c.layers), LayerKind::window);
  };
  const DecoderConfig config = changed("mistral", change);
  const auto weights = random_layer(config, 0, ref_train_ops_f64());
  const LayerView<double> view = weights.view();
  const int64_t tokens = 9, width = config.hidden_size, row = 5;
  LayerGradient<double> pass(config, 0, ref_train_ops_f64());
  Buffer<double> x(tokens * width), dx(tokens * width);
  PyRandom random(5);
  for (double& v : x) v = random.gauss(0, 1);
  pass.forward(view, tokens, x.data());
  for (int64_t i = 0; i < width; ++i) dx[row * width + i] = 1;
  pass.backward(dx.data(), {});
  for (int64_t r = 0; r < tokens; ++r) {
    const double* at = dx.data() + r * width;
    const bool reached = std::any_of(at, at + width, [](double v) { return v != 0; });
    EXPECT_EQ(reached, r <= row && r > row - 3) << r;
  }
}

// Several losses behind one forward pass: each gradient is what it is alone.
TEST(LayerGradient, BackwardCanBeRepeated) {
  for (const char* type : {"gpt2", "qwen3"}) {
    const DecoderConfig config = tiny_decoder_config(type);
    const auto weights = random_layer(config, 0, best_train_ops());
    const LayerView<float> view = weights.view();
    const int64_t tokens = 9, size = tokens * config.hidden_size;
    Buffer<float> x(size), first(size), again(size), other(size);
    PyRandom random(5);
    for (float& v : x) v = static_cast<float>(random.gauss(0, 1));
    for (int64_t i = 0; i < size; ++i) {
      first[i] = again[i] = static_cast<float>(random.gauss(0, 1));
      other[i] = static_cast<float>(random.gauss(0, 1));
    }
    LayerGradient<float> pass(config, 0, best_train_ops());
    pass.forward(view, tokens, x.data());
    for (Buffer<float>* dx : {&first, &other, &again}) pass.backward(dx->data(), {});
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
TEST(LayerGradient, NarrowProductsAreNearlyTheSame) {
  if (!has_bf16_products()) GTEST_SKIP() << "no bf16 products here";
  for (const char* type : {"gpt2", "llama", "qwen3", "gemma2", "lfm2"}) {
    SCOPED_TRACE(type);
    const DecoderConfig config = tiny_decoder_config(type);
    const int64_t tokens = 40, size = tokens * config.hidden_size;
    Buffer<float> out[2] = {Buffer<float>(size), Buffer<float>(size)},
                  dx[2] = {Buffer<float>(size), Buffer<float>(size)};
    for (const bool narrow : {false, true}) {
      const auto weights = random_layer(config, 0, best_train_ops(), narrow);
      const LayerView<float> view = weights.view();
      EXPECT_EQ(weights.matrices.at({Role::up, 0}).narrow.empty(), !narrow);
      PyRandom random(5);
      Buffer<float> x(size);
      for (float& v : x) v = static_cast<float>(random.gauss(0, 1));
      for (float& v : dx[narrow]) v = static_cast<float>(random.gauss(0, 1));
      LayerGradient<float> pass(config, 0, best_train_ops());
      std::copy_n(pass.forward(view, tokens, x.data()), size, out[narrow].data());
      pass.backward(dx[narrow].data(), {});
    }
    for (const Buffer<float>* both : {out, dx}) {
      const double far = distance(both[1], both[0]);
      EXPECT_GT(far, 1e-5);
      EXPECT_LT(far, 0.01);
    }
  }
}

TEST(LayerGradient, ForwardIsTheDecodersOwn) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Model model = tiny_decoder(c.config, 11);
    const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
    const WeightRelease keep;
    const ParameterFinder find(c.config, load, keep);
    const LayerRunner walk(c.config, load);
    std::vector<int32_t> ids;
    for (int i = 0; i < std::min<int>(40, static_cast<int>(c.config.context)); ++i)
      ids.push_back((i * 7 + 3) % static_cast<int>(c.config.vocab_size));
    std::vector<float> x = walk.embed(ids);
    Buffer<float> own(std::ssize(x));
    for (int layer = 0; layer < c.config.layers; ++layer) {
      std::copy(x.begin(), x.end(), own.begin());
      walk.run(walk.layer(layer), x);
      const auto weights = load_layer_weights(c.config, find, layer, false, best_train_ops());
      const LayerView<float> view = weights.view();
      LayerGradient<float> pass(c.config, layer, best_train_ops());
      std::copy_n(pass.forward(view, std::ssize(ids), own.data()), own.size(), own.data());
      double error = 0, size = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        error = std::max<double>(error, std::abs(own[static_cast<int64_t>(i)] - x[i]));
        size = std::max<double>(size, std::abs(x[i]));
      }
      EXPECT_LT(error, 1e-5 * size) << "block " << layer;
    }
  }
}

TEST(LayerGradient, ForwardIsTheDefinition) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Model model = tiny_decoder(c.config, 11);
    const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
    const WeightRelease keep;
    const ParameterFinder find(c.config, load, keep);
    const TrainOps<double>& ops = ref_train_ops_f64();
    std::vector<double> x(static_cast<size_t>(11 * c.config.hidden_size));
    PyRandom random(5);
    for (double& v : x) v = random.gauss(0, 1);
    Buffer<double> own(std::ssize(x));
    std::copy(x.begin(), x.end(), own.begin());
    for (int layer = 0; layer < c.config.layers; ++layer) {
      run_reference_layer(c.config, layer, find, x);
      const auto weights = load_layer_weights(c.config, find, layer, false, ops);
      const LayerView<double> view = weights.view();
      LayerGradient<double> pass(c.config, layer, ops);
      std::copy_n(pass.forward(view, 11, own.data()), own.size(), own.data());
    }
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, std::abs(x[i] - own[static_cast<int64_t>(i)]));
    EXPECT_LT(worst, 1e-10);
  }
}

}  // namespace
}  // namespace nibble
