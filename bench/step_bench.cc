// A step of training a GPT-2: forward, backward, AdamW. With --serve it answers lines "SHAPE
// PRECISION THREADS STEPS" with seconds a step, the loss and
// the processor's seconds, for those who measure something else in turn (bench/peers/steps.py).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "nibble/core/error.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/model/shapes.h"
#include "nibble/quant/rtn.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/lora_parts.h"
#include "nibble/train/whole_decoder.h"

namespace nibble::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kTokens = 256, kSteps = 1'000'000;
constexpr std::string_view kAdapter = "lora-";

struct Shape {
  std::string name;
  int64_t sequences;
  DecoderConfig config;
};

const Shape& shape_of(const std::string& name) {
  static const std::map<std::string, Shape> kAll = [] {
    const DecoderConfig large = random_model("gpt2-124m", 42).decoder_config();
    DecoderConfig small = large;
    small.vocab_size = 2048;
    small.layers = small.heads = small.kv_heads = 6;
    small.hidden_size = 192;
    small.head_dim = 32;
    small.intermediate_size = 768;
    small.context = kTokens;
    std::map<std::string, Shape> out;
    for (const Shape& s : {Shape{"gpt2-shakespeare", 8, small}, Shape{"gpt2-124m", 4, large}})
      out.emplace(s.name, s);
    return out;
  }();
  const auto found = kAll.find(name);
  if (found == kAll.end()) throw invalid_argument("no shape is called " + name);
  return found->second;
}

// An adapter of rank 8 at every matrix of the layers of a random model, whose matrices are in
// `scheme`.
std::unique_ptr<TrainedParts> adapter_parts(const ParamLayout& layout, const std::string& scheme) {
  LoraOptions options;
  for (const ParamSpec& p : layout.table)
    if (p.is_matrix() && p.layer >= 0 && !p.bias) options.modules.push_back({p, p.name, 8, 2.0});
  PyRandom random(42);
  const WeightLoader load = [&](const ParamSpec& p) -> Weight {
    Tensor w(DType::f32, p.shape);
    for (float& v : w.mutable_data<float>())
      v = static_cast<float>(is_weight(p) ? random.gauss(0, 0.02) : p.bias ? 0.0 : 1.0);
    if (scheme == "f32" || !p.is_matrix() || p.layer < 0) return w;
    return quantize_rtn(w, parse_scheme(scheme), {}, p.name);
  };
  return std::make_unique<LoraParts>(layout, best_train_ops(), load, std::move(options));
}

// A batch of the same random tokens, step after step.
class Stepper {
 public:
  // `precision`: f32, bf16, or lora-SCHEME.
  Stepper(const Shape& shape, const std::string& precision) : layout_(make_layout(shape.config)) {
    const bool adapter = precision.starts_with(kAdapter);
    if (adapter)
      decoder_ =
          std::make_unique<DecoderStep>(layout_.config, layout_.plans, best_train_ops(),
                                        adapter_parts(layout_, precision.substr(kAdapter.size())));
    else if (precision == "bf16")
      decoder_ = std::make_unique<DecoderStep>(
          layout_.config, layout_.plans, best_train_ops(),
          std::make_unique<WholeDecoder>(
              layout_, best_train_ops(), [](const FlatLayout&, float*) {}, FakeQuantization{},
              true));
    else
      decoder_ = std::make_unique<DecoderStep>(layout_, best_train_ops());
    PyRandom random(42);
    if (adapter)
      decoder_->parts->begin(decoder_->runner.weights.data());
    else
      draw_weights(layout_, 0.02, random, decoder_->runner.weights.data());
    for (int64_t s = 0; s < shape.sequences; ++s) {
      std::vector<int32_t> ids;
      for (int64_t t = 0; t <= kTokens; ++t)
        ids.push_back(
            static_cast<int32_t>(random.below(static_cast<uint64_t>(shape.config.vocab_size))));
      batch_.append(ids);
    }
  }
  double step(int threads) {
    const AdamOptions adam{.learning_rate = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.1};
    return decoder_->step(batch_, adam_of_step(adam, done_++, kSteps), 1.0, threads);
  }

 private:
  const ParamLayout layout_;
  std::unique_ptr<DecoderStep> decoder_;
  Batch batch_;
  int64_t done_ = 0;
};

Stepper& stepper(const std::string& shape, const std::string& precision) {
  static std::map<std::string, Stepper> made;
  const bool narrow = precision == "bf16";
  if (!narrow && precision != "f32" && !precision.starts_with(kAdapter))
    throw invalid_argument("precision is f32, bf16 or lora-SCHEME");
  if (narrow && !has_bf16_products()) throw unsupported("this processor does not multiply bf16");
  return made.try_emplace(shape + precision, shape_of(shape), precision).first->second;
}

void decoder_step(benchmark::State& state, const char* shape, const char* precision) {
  if (precision == std::string("bf16") && !has_bf16_products())
    return state.SkipWithError("this processor does not multiply bf16");
  Stepper& s = stepper(shape, precision);
  s.step(2);
  for (auto _ : state) s.step(static_cast<int>(state.range(0)));
  state.SetItemsProcessed(state.iterations() * shape_of(shape).sequences * kTokens);
}
BENCHMARK_CAPTURE(decoder_step, shakespeare_f32, "gpt2-shakespeare", "f32")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decoder_step, shakespeare_bf16, "gpt2-shakespeare", "bf16")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

int serve() {
  std::string shape, precision;
  int threads = 0, steps = 0;
  while (std::cin >> shape >> precision >> threads >> steps) {
    Stepper& s = stepper(shape, precision);
    double loss = 0;
    const auto start = Clock::now();
    const std::clock_t before = std::clock();
    for (int i = 0; i < steps; ++i) loss = s.step(threads);
    const std::chrono::duration<double> took = Clock::now() - start;
    const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    fmt::print("{} {} {}\n", took.count() / steps, loss, used / steps);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace nibble::bench

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--serve") return nibble::bench::serve();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
}
