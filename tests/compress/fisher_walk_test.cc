// The Fisher information of a model's projections against what it must be: the Jacobian of the
// logits, by finite differences through the decoder that inference runs, around the covariance of
// the labels.
#include "nibble/compress/fisher_walk.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/compress/fisher_estimate.h"
#include "nibble/model/layer_runner.h"
#include "nibble/nn/losses.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

CalibrationText text_of(const DecoderConfig& config, int samples, int length) {
  CalibrationText out;
  PyRandom random(9);
  for (int s = 0; s < samples; ++s) {
    out.samples.emplace_back();
    for (int i = 0; i < length + s % 2; ++i)
      out.samples.back().push_back(
          static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocab_size))));
  }
  return out;
}

// Everything that a block can be made of, in two layers.
std::vector<std::pair<const char*, DecoderConfig>> configs() {
  const auto of = [](const char* type) { return std::pair(type, tiny_decoder_config(type)); };
  auto window = of("mistral"), exact = of("gpt2");
  window.second.sliding_window = 3;
  window.second.layer_kinds.assign(static_cast<size_t>(window.second.layers), LayerKind::window);
  exact.second.mlp = MlpKind::gelu;
  return {of("gpt2"), of("opt"), of("llama"), of("qwen3"), of("lfm2"), window, exact};
}

std::string name_of(const DecoderConfig& config, Role role, int layer) {
  for (const ParamSpec& p : parameter_table(config))
    if (p.role == role && p.layer == layer && !p.bias) return p.name;
  return "";
}

double trace(const Rows& g) {
  const auto n = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(g.size()))));
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += g[i * n + i];
  return sum;
}

// The model from the residual stream behind block `layer` on.
class Rest {
 public:
  Rest(const Model& model, int layer)
      : config_(model.decoder_config()),
        load_([&model](const ParamSpec& p) { return load_weight(model, p); }),
        walk_(config_, load_),
        head_([&] {
          const WeightRelease keep;
          const ParameterFinder find(config_, load_, keep);
          std::vector<LinearMember> members;
          if (config_.tied)
            members.push_back({"head", find.table(Role::token_embedding), std::nullopt});
          else
            members.push_back(find.linear({Role::lm_head}));
          return LinearGroup(std::move(members), {});
        }()) {
    for (int i = 0; i < config_.layers; ++i)
      (i <= layer ? front_ : behind_).push_back(walk_.layer(i));
  }

  Rows stream(const std::vector<int32_t>& ids) const {
    Rows x = walk_.embed(ids);
    for (const Layer& b : front_) walk_.run(b, x);
    return x;
  }
  Rows logits(Rows x) const {
    const int64_t rows = std::ssize(x) / config_.hidden_size;
    for (const Layer& b : behind_) walk_.run(b, x);
    walk_.final_norm(x);
    Rows out(static_cast<size_t>(rows * config_.vocab_size));
    head_.forward(x, rows, out.data(), Exec{});
    return out;
  }

 private:
  const DecoderConfig& config_;
  const WeightLoader load_;
  const LayerRunner walk_;
  const LinearGroup head_;
  std::vector<Layer> front_, behind_;
};

// The mean over rows s of sum over rows t of J^T (diag p - p p^T) J, J = dlogits[t] / dx[s]. What
// `down` of the block in front puts out is added to x, so that this is its metric.
std::vector<double> exact_metric(const DecoderConfig& c, const Rest& rest, const Rows& x) {
  constexpr float kStep = 1e-2F;
  const auto width = static_cast<size_t>(c.hidden_size), n = static_cast<size_t>(c.vocab_size);
  const size_t rows = x.size() / width;
  const Rows logits = rest.logits(x);
  std::vector<double> out(width * width);
  for (size_t s = 0; s < rows; ++s) {
    std::vector<std::vector<double>> slope(width);
    for (size_t i = 0; i < width; ++i) {
      Rows above = x, below = x;
      above[s * width + i] += kStep, below[s * width + i] -= kStep;
      const Rows a = rest.logits(above), b = rest.logits(below);
      for (size_t j = 0; j < a.size(); ++j) slope[i].push_back((a[j] - b[j]) / (2.0 * kStep));
    }
    for (size_t t = s; t < rows; ++t) {
      const auto row = std::span(logits).subspan(t * n, n);
      const double norm = log_sum_exp(row);
      std::vector<double> p;
      for (const float v : row) p.push_back(std::exp(v - norm));
      for (std::vector<double>& of : slope) {  // less its mean over labels
        double mean = 0;
        for (size_t j = 0; j < n; ++j) mean += p[j] * of[t * n + j];
        for (size_t j = 0; j < n; ++j) of[t * n + j] -= mean;
      }
      for (size_t i = 0; i < width; ++i)
        for (size_t k = 0; k < width; ++k)
          for (size_t j = 0; j < n; ++j)
            out[i * width + k] +=
                p[j] * slope[i][t * n + j] * slope[k][t * n + j] / static_cast<double>(rows);
    }
  }
  return out;
}

void expect_near(const OutputMetric& drawn, const std::vector<double>& exact, double most,
                 double most_of_trace) {
  ASSERT_EQ(drawn.blocks.size(), 1U);
  ASSERT_EQ(drawn.blocks[0].size(), exact.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += (drawn.blocks[0][i] - exact[i]) * (drawn.blocks[0][i] - exact[i]);
    size += exact[i] * exact[i];
  }
  EXPECT_LT(std::sqrt(error / size), most);
  EXPECT_NEAR(trace(drawn.blocks[0]) / trace(Rows(exact.begin(), exact.end())), 1, most_of_trace);
}

TEST(Fisher, IsTheJacobianAroundTheCovarianceOfTheLabels) {
  for (const auto& [name, config] : configs()) {
    const Model model = tiny_decoder(config, 11);
    const CalibrationText text = text_of(config, 1, 6);
    // With products in bf16, too, where the processor has them.
    const OutputMetrics metrics = output_metrics(model, text, {.draws = 4000}, Exec{});
    const OutputMetrics narrow =
        output_metrics(model, text, {.draws = 4000, .bf16_width = 1}, Exec{});
    for (const int layer : {0, 1}) {
      SCOPED_TRACE(std::string(name) + " " + std::to_string(layer));
      const Rest rest(model, layer);
      const auto exact = exact_metric(config, rest, rest.stream(text.samples[0]));
      const std::string weight = name_of(config, Role::down, layer);
      // 4000 draws leave two percent of chance.
      expect_near(metrics.at(weight), exact, 0.05, 0.02);
      // A gated convolution multiplies three rounded numbers: seven percent were seen.
      const bool gated = config.architecture == "lfm2";
      expect_near(narrow.at(weight), exact, gated ? 0.1 : 0.05, gated ? 0.05 : 0.02);
    }
  }
}

// What the embedding puts into the stream is judged by all layers.
TEST(Fisher, TheTableHasTheMetricOfTheStream) {
  const DecoderConfig config = tiny_decoder_config("llama");
  ASSERT_FALSE(config.tied);
  const Model model = tiny_decoder(config, 11);
  const CalibrationText text = text_of(config, 1, 6);
  const OutputMetrics metrics = output_metrics(model, text, {.draws = 4000}, Exec{});
  const Rest rest(model, -1);
  expect_near(metrics.at(name_of(config, Role::token_embedding, -1)),
              exact_metric(config, rest, rest.stream(text.samples[0])), 0.05, 0.02);
}

// The model with `error` added to one projection's bias.
Model with_error(const Model& model, const std::string& bias, const Rows& error, float sign) {
  const DecoderConfig& config = model.decoder_config();
  TensorMap weights;
  for (const ParamSpec& p : parameter_table(config)) {
    Tensor t = load_weight(model, p).plain().clone();
    if (p.name == bias) {
      const auto values = t.mutable_data<float>();
      for (size_t i = 0; i < error.size(); ++i) values[i] += sign * error[i];
    }
    weights.emplace(p.name, std::move(t));
  }
  return in_memory(config, std::move(weights), CharTokenizer::from_text(kTinyText, true));
}

double cost(const OutputMetric& metric, const Rows& error) {
  double sum = 0;
  for (size_t b = 0; b < metric.blocks.size(); ++b) {
    const auto first = static_cast<size_t>(metric.starts[b]);
    const auto size = static_cast<size_t>(metric.starts[b + 1]) - first;
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < size; ++j)
        sum += error[first + i] * error[first + j] * metric.blocks[b][i * size + j] / 2;
  }
  return sum;
}

// The divergence of the model when one projection's bias is changed, for samples of one token: a
// bias is an error of one row there.
TEST(Fisher, IsTheDivergenceOfASmallError) {
  const DecoderConfig config = tiny_decoder_config("gpt2");
  const Model model = tiny_decoder(config, 11);
  CalibrationText text = text_of(config, 8, 1);
  for (auto& s : text.samples) s.resize(1);
  const OutputMetrics metrics = output_metrics(model, text, {.draws = 2000}, Exec{});
  PyRandom random(3);
  int measured = 0;
  for (const ParamSpec& p : parameter_table(config)) {
    const std::string weight = name_of(config, p.role, p.layer);
    if (p.layer < 0 || !p.bias || !metrics.contains(weight)) continue;
    SCOPED_TRACE(p.name);
    Rows error(static_cast<size_t>(p.shape[0]));
    for (float& v : error) v = static_cast<float>(random.gauss(0, 0.02));
    double divergence = 0;
    for (const float sign : {1.0F, -1.0F}) {  // both, so that what is odd in the error is gone
      const Model other = with_error(model, p.name, error, sign);
      for (const auto& ids : text.samples)
        divergence += kl_divergence(logits_of_tokens(model, ids), logits_of_tokens(other, ids)) /
                      (2.0 * static_cast<double>(text.samples.size()));
    }
    EXPECT_NEAR(cost(metrics.at(weight), error) / divergence, 1, 0.03);
    ++measured;
  }
  EXPECT_EQ(measured, 8);
}

TEST(Fisher, SameBytesForAnyNumberOfThreadsAndInAFile) {
  for (const char* type : {"gpt2", "llama", "mixtral"}) {
    const DecoderConfig config = tiny_decoder_config(type);
    const Model model = tiny_decoder(config, 11);
    const CalibrationText text = text_of(config, 7, 12);
    const test::TempFolder folder;
    Exec exec;
    const OutputMetrics one = output_metrics(model, text, {}, exec);
    exec.threads = 3;
    for (const std::string& spill : {std::string(), folder.path()}) {
      const OutputMetrics other = output_metrics(model, text, {.spill_folder = spill}, exec);
      ASSERT_EQ(one.size(), other.size());
      for (const auto& [name, metric] : one) {
        EXPECT_EQ(metric.starts, other.at(name).starts);
        EXPECT_EQ(metric.blocks, other.at(name).blocks) << name;
      }
    }
    EXPECT_EQ(folder.size(), 0U);
    const OutputMetrics seeded = output_metrics(model, text, {.seed = 43}, exec);
    EXPECT_NE(one.begin()->second.blocks, seeded.begin()->second.blocks);
  }
}

TEST(Fisher, EveryMatrixOfTheBlocksHasOne) {
  auto all = configs();
  for (const char* type : {"mixtral", "gemma2"}) all.emplace_back(type, tiny_decoder_config(type));
  for (const auto& [name, config] : all) {
    SCOPED_TRACE(name);
    const Model model = tiny_decoder(config, 11);
    const OutputMetrics metrics =
        output_metrics(model, text_of(config, 2, 9), {.largest_block = 16}, Exec{});
    size_t matrices = 0;
    for (const ParamSpec& p : parameter_table(config)) {
      if (p.layer < 0 || !p.is_matrix()) continue;
      ++matrices;
      const OutputMetric& m = metrics.at(p.name);
      EXPECT_EQ(m.n(), p.shape[0]);
      ASSERT_EQ(m.blocks.size() + 1, m.starts.size());
      for (size_t b = 0; b < m.blocks.size(); ++b) {
        const auto size = static_cast<size_t>(m.starts[b + 1] - m.starts[b]);
        EXPECT_LE(size, 16U);
        ASSERT_EQ(m.blocks[b].size(), size * size);
        EXPECT_GT(trace(m.blocks[b]), 0);
        for (size_t i = 0; i < size; ++i)
          for (size_t j = 0; j < i; ++j)
            EXPECT_EQ(m.blocks[b][i * size + j], m.blocks[b][j * size + i]);
      }
    }
    const std::string table = name_of(config, Role::token_embedding, -1);
    EXPECT_EQ(metrics.contains(table), judges_table(config));
    EXPECT_EQ(metrics.size(), matrices + (judges_table(config) ? 1 : 0));
  }
}

// Samples from the front, up to the tokens asked for.
TEST(Fisher, ReadsAsManyTokensAsItIsTold) {
  const DecoderConfig config = tiny_decoder_config("llama");
  const Model model = tiny_decoder(config, 11);
  CalibrationText text = text_of(config, 6, 10);  // 10 and 11 tokens in turn
  const OutputMetrics some = output_metrics(model, text, {.tokens = 31}, Exec{});
  const OutputMetrics all = output_metrics(model, text, {}, Exec{});
  EXPECT_NE(some.begin()->second.blocks, all.begin()->second.blocks);
  text.samples.resize(3);
  const OutputMetrics front = output_metrics(model, text, {}, Exec{});
  EXPECT_EQ(some.begin()->second.blocks, front.begin()->second.blocks);
}

TEST(Fisher, ReportsItsBlocksAndStopsWhenTold) {
  const DecoderConfig config = tiny_decoder_config("gpt2");
  const Model model = tiny_decoder(config, 11);
  std::vector<int64_t> done;
  std::atomic<int> signal = 0;
  Exec exec;
  exec.stop_signal = &signal;
  exec.progress = [&](const Progress& p) {
    EXPECT_EQ(p.task, "gradients");
    EXPECT_EQ(p.total, 2 * config.layers);
    done.push_back(p.done);
  };
  output_metrics(model, text_of(config, 2, 9), {}, exec);
  EXPECT_EQ(done, (std::vector<int64_t>{1, 2, 3, 4}));
  exec.progress = [&](const Progress& p) { signal = p.done == 3 ? 2 : 0; };
  test::expect_error(ErrorKind::cancelled, "",
                     [&] { output_metrics(model, text_of(config, 2, 9), {}, exec); });
}

// With a wide vocabulary they are most of what is in memory.
TEST(Fisher, TheEstimateHasTheLogitsOfEveryThread) {
  DecoderConfig config = tiny_decoder_config("llama");
  config.vocab_size = 128000;
  config.context = 256;
  const auto bytes = [&](int threads) {
    return estimate_fisher(config, 4096, 256, threads).work_bytes;
  };
  const int64_t rows = (int64_t{1} << 22) / config.vocab_size;  // at a time
  EXPECT_GE(bytes(8) - bytes(1), 7 * 2 * rows * config.vocab_size * 4);
}

TEST(Fisher, AModelThatIsNotFiniteIsRefused) {
  const DecoderConfig config = tiny_decoder_config("llama");
  TensorMap weights = random_weights(config, 7);
  weights.at(name_of(config, Role::o, 1)).mutable_data<float>()[5] = INFINITY;
  const Model model =
      in_memory(config, std::move(weights), CharTokenizer::from_text(kTinyText, true));
  test::expect_error(ErrorKind::corrupt, "not finite",
                     [&] { output_metrics(model, text_of(config, 2, 9), {}, Exec{}); });
}

}  // namespace
}  // namespace nibble
