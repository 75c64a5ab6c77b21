// Training steps: names a second by width and threads; then, in the same run and alternating,
// nibble against the naive loop in C on one core, and against PyTorch where it is installed.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/naive_train.h"
#include "nibble/core/files.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/presets.h"
#include "nibble/train/sampler.h"

namespace nibble::bench {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;
using Clock = std::chrono::steady_clock;

constexpr const char *kLargeList = "../shared/data/text/names.txt", *kOwnList = "data/names.txt";
constexpr const char* kTorchScript = "../shared/peers/torch_microgpt.py";
constexpr int64_t kContext = 16;

std::string names_path() { return std::filesystem::exists(kLargeList) ? kLargeList : kOwnList; }

const Sequences& names() {
  static const Sequences train = [] {
    const std::string text = read_file(names_path());
    return line_sequences(text, CharTokenizer::from_text(text, true), kContext, 42).train;
  }();
  return train;
}

// A trainer that can be stepped without end.
class Stepper {
 public:
  Stepper(int64_t width, int64_t batch, int threads) : threads_(threads) {
    TrainOptions o = preset("micro");
    o.config.vocab_size = 27;
    o.config.hidden_size = width;
    o.config.head_dim = width / o.config.heads;
    o.config.intermediate_size = 4 * width;
    layout_ = make_layout(o.config);
    decoder_ = std::make_unique<DecoderStep>(layout_, best_train_ops());
    sampler_ = std::make_unique<Sampler>(names(), 42, batch, kContext, false);
    PyRandom random(42);
    draw_weights(layout_, o.init_std, random, decoder_->runner.weights.data());
  }
  void step() {
    sampler_->fill(done_, batch_);
    decoder_->step(batch_, adam_of_step({}, done_++ % kSteps, kSteps), 0, threads_);
  }

 private:
  static constexpr int64_t kSteps = 1000;
  int threads_;
  ParamLayout layout_;
  std::unique_ptr<DecoderStep> decoder_;
  std::unique_ptr<Sampler> sampler_;
  Batch batch_;
  int64_t done_ = 0;
};

void train_step(benchmark::State& state) {
  const int64_t batch = state.range(1);
  Stepper stepper(state.range(0), batch, static_cast<int>(state.range(2)));
  for (int i = 0; i < 50; ++i) stepper.step();
  for (auto _ : state) stepper.step();
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(train_step)
    ->ArgNames({"width", "batch", "threads"})
    ->ArgsProduct({{16, 32, 64}, {32}, {1, 2}})
    ->Args({16, 16, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

double microseconds(int steps, const std::function<void()>& step) {
  const auto start = Clock::now();
  for (int i = 0; i < steps; ++i) step();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / steps;
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

void compare_with_naive() {
  constexpr int kBatch = 16, kRounds = 15, kStepsARound = 40;
  Stepper ours(16, kBatch, 1);
  NaiveTrainer naive(42);
  size_t next = 0;
  std::vector<double> our_us, naive_us;
  for (int round = 0; round < kRounds; ++round) {
    our_us.push_back(microseconds(kStepsARound, [&] { ours.step(); }));
    naive_us.push_back(microseconds(kStepsARound, [&] {
      naive.step(names(), next, kBatch, 0.01f);
      next += kBatch;
    }));
  }
  const double mine = median(our_us) / kBatch, theirs = median(naive_us) / kBatch;
  fmt::print(
      "n_embd 16, batch 16, one core: nibble {:.2f} us a name, naive C loop {:.2f} us: {:.1f}x\n",
      mine, theirs, theirs / mine);
}

// The script's "us_per_step", or a negative number.
double torch_microseconds(int64_t width) {
  const std::string command =
      fmt::format("python3 {} {} {} 2>/dev/null", kTorchScript, names_path(), width);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return -1;
  std::string out;
  char part[512];
  while (fgets(part, sizeof(part), pipe) != nullptr) out += part;
  const std::string key = "\"us_per_step\": ";
  const size_t at = out.find(key);
  return pclose(pipe) == 0 && at != std::string::npos ? atof(out.c_str() + at + key.size()) : -1;
}

void compare_with_torch() {
  if (!std::filesystem::exists(kTorchScript) ||
      system("python3 -c 'import torch' >/dev/null 2>&1") != 0) {
    fmt::print("PyTorch is not installed: comparison omitted\n");
    return;
  }
  for (int64_t width : {16, 32, 64}) {
    Stepper ours(width, 32, 2);
    microseconds(100, [&] { ours.step(); });
    const double mine = microseconds(1000, [&] { ours.step(); });
    const double theirs = torch_microseconds(width);
    fmt::print(
        "n_embd {}, batch 32, two threads: nibble {:.0f} us a step, PyTorch {:.0f} us: {:.1f}x\n",
        width, mine, theirs, theirs / mine);
  }
}

}  // namespace
}  // namespace nibble::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
  nibble::bench::compare_with_naive();
  nibble::bench::compare_with_torch();
}
