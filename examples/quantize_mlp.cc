// Replace the layers of an MLP by quantized ones, and compare what comes out.
//
// The network is 784-512-512-10 with ReLU between, with random weights, so that nothing has to be
// downloaded; `nibble train mlp --data DIR` trains the same shape on MNIST. A quantized layer keeps
// its weights packed in memory and multiplies them by an integer kernel where the processor has
// one.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/nn/linear.h"
#include "nibble/quant/rtn.h"
#include "nibble/report/table.h"

namespace {

constexpr int64_t kSizes[] = {784, 512, 512, 10};
constexpr int64_t kBatch = 64;

std::vector<nibble::Tensor> random_weights() {
  nibble::PyRandom random(42);
  std::vector<nibble::Tensor> out;
  for (size_t layer = 0; layer + 1 < std::size(kSizes); ++layer) {
    const int64_t k = kSizes[layer], n = kSizes[layer + 1];
    std::vector<float> values(static_cast<size_t>(n * k));
    const double spread =
        std::sqrt(2.0 / static_cast<double>(k));  // keeps the signal's size through ReLU
    for (float& v : values) v = static_cast<float>(random.gauss(0, spread));
    out.push_back(nibble::Tensor::from<float>({n, k}, values));
  }
  return out;
}

/// The network: one LinearGroup a layer. An empty scheme keeps the weights in f32.
std::vector<nibble::LinearGroup> build(const std::vector<nibble::Tensor>& weights,
                                       const std::string& scheme) {
  std::vector<nibble::LinearGroup> layers;
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::string name = fmt::format("layer{}.weight", i);
    nibble::Weight weight = weights[i];
    if (!scheme.empty())
      weight = nibble::quantize_rtn(weights[i], nibble::parse_scheme(scheme), {}, name);
    std::vector<nibble::LinearMember> members;
    members.push_back({name, std::move(weight), std::nullopt});
    layers.emplace_back(std::move(members), nibble::LinearOptions{});
  }
  return layers;
}

std::vector<float> run(const std::vector<nibble::LinearGroup>& layers, std::vector<float> x) {
  const nibble::Exec exec;
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<float> y(static_cast<size_t>(kBatch * layers[i].outputs(0)));
    layers[i].forward(x, kBatch, y.data(), exec);
    if (i + 1 < layers.size()) {
      for (float& v : y) v = std::max(v, 0.0f);
    }
    x = std::move(y);
  }
  return x;
}

size_t memory(const std::vector<nibble::LinearGroup>& layers) {
  size_t sum = 0;
  for (const nibble::LinearGroup& layer : layers) sum += layer.memory_bytes();
  return sum;
}

/// The share of rows whose largest output is the same.
double same_prediction(const std::vector<float>& a, const std::vector<float>& b) {
  constexpr int64_t kClasses = kSizes[std::size(kSizes) - 1];
  int64_t same = 0;
  for (int64_t r = 0; r < kBatch; ++r) {
    const auto first = [&](const std::vector<float>& y) {
      return std::max_element(y.begin() + r * kClasses, y.begin() + (r + 1) * kClasses) - y.begin();
    };
    same += first(a) == first(b) ? 1 : 0;
  }
  return static_cast<double>(same) / kBatch;
}

double mean_square(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return sum / static_cast<double>(a.size());
}

}  // namespace

int main() try {
  const std::vector<nibble::Tensor> weights = random_weights();
  nibble::PyRandom random(7);
  std::vector<float> x(kBatch * kSizes[0]);
  for (float& v : x) v = static_cast<float>(random.random());

  const std::vector<nibble::LinearGroup> full = build(weights, "");
  const std::vector<float> expected = run(full, x);
  nibble::TerminalTable table(
      {{"weights"}, {"memory"}, {"smaller"}, {"output MSE"}, {"same prediction"}, {"kernel"}});
  for (const char* scheme :
       {"", "int8:tensor", "int8", "int8:a8", "int4:g16", "int4:g16:asym", "int2:g16"}) {
    const std::vector<nibble::LinearGroup> layers = build(weights, scheme);
    const std::vector<float> y = run(layers, x);
    table.add({*scheme == '\0' ? "f32" : scheme, fmt::format("{}", memory(layers)),
               fmt::format("{:.2f}x",
                           static_cast<double>(memory(full)) / static_cast<double>(memory(layers))),
               fmt::format("{:.2e}", mean_square(expected, y)),
               fmt::format("{:.1f}%", 100 * same_prediction(expected, y)),
               std::string(layers[0].kernel_name(0))});
  }
  fmt::print("An MLP 784-512-512-10 on a batch of {}, its layers replaced by quantized ones:\n\n{}",
             kBatch, table.render(100));
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "quantize_mlp: {}\n", error.what());
  return 1;
}
