// Calibrated quantization of a tenth of a Llama of 1.1 B parameters: two of its 22 blocks, random
// weights, in memory.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "nibble/compress/calibrated_walk.h"
#include "nibble/compress/estimate.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/model/shapes.h"

namespace nibble::bench {
namespace {

constexpr int kBlocks = 2;
constexpr int64_t kLength = 512, kSamples = 16;

// The first blocks of the shape as f16, drawn before anything is timed.
Model first_blocks() {
  Model model = random_model("llama-1b", 1);
  std::get<DecoderConfig>(model.config).layers = kBlocks;
  TensorMap weights;
  for (const ParamSpec& p : parameter_table(model.config))
    weights.emplace(p.name, convert(model.weights->get(p.name).plain(), DType::f16));
  model.weights = weights_in_memory(weights);
  return model;
}

CalibrationText random_text(int64_t samples, int64_t vocabulary) {
  PyRandom random(7);
  CalibrationText out;
  for (int64_t s = 0; s < samples; ++s) {
    auto& ids = out.samples.emplace_back();
    for (int64_t i = 0; i < kLength; ++i)
      ids.push_back(static_cast<int32_t>(random.random() * static_cast<double>(vocabulary)));
  }
  return out;
}

void calibrate(const std::string& method) {
  const Model model = first_blocks();
  Exec exec;
  exec.threads = default_threads();
  QuantizeOptions options;
  options.scheme = parse_scheme("int4:g128");
  options.method = method;
  options.calibration.samples = kSamples;
  options.calibration.length = kLength;
  std::vector<std::string> warnings;
  const auto plans = plan_quantization(model, options, warnings);
  const double predicted = estimate_quantization(model, plans, options, exec.threads).seconds;
  const auto text = random_text(kSamples, model.decoder_config().vocab_size);
  const auto store = memory_store();
  const auto start = std::chrono::steady_clock::now();
  OutputMetrics metrics;
  if (method == "yaqa") metrics = output_metrics(model, text, {}, exec);
  const auto walk = std::chrono::steady_clock::now();
  walk_blocks(model, plans, options, {text}, metrics, *store, exec);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double gradients = std::chrono::duration<double>(walk - start).count();
  fmt::print(
      "{} int4:g128 of {} blocks 2048 wide, {} samples of {} tokens, {} threads: {:.1f} s a "
      "block "
      "(predicted {:.1f}), {:.1f} of them for gradients\n",
      method, kBlocks, kSamples, kLength, exec.threads, seconds / kBlocks, predicted / kBlocks,
      gradients / kBlocks);
}

}  // namespace
}  // namespace nibble::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  for (const char* method : {"gptq", "yaqa"}) nibble::bench::calibrate(method);
}
