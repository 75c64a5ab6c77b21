#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "nibble/core/error.h"
#include "nibble/core/finite.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/rounds.h"
#include "nibble/nn/losses.h"

namespace nibble {
namespace {

constexpr int64_t kBatch = 256;  // inputs a timed forward pass

std::vector<float> outputs_of(const Model& folder, const Mlp& model, const ClassifierData& data,
                              const Exec& exec) {
  const int64_t width = model.config().sizes.front();
  std::vector<float> out;
  for (int64_t begin = 0; begin < data.count; begin += kBatch) {
    exec.check_stop();
    const int64_t m = std::min(kBatch, data.count - begin);
    const auto x = std::span(data.inputs)
                       .subspan(static_cast<size_t>(begin * width), static_cast<size_t>(m * width));
    const auto y = model.forward(x, m, exec);
    out.insert(out.end(), y.begin(), y.end());
  }
  if (all_finite(out)) return out;
  refuse_nonfinite_weights(folder);
  throw corrupt("outputs are not finite: what the model computes is too large for f32")
      .in_file(folder.path);
}

void compare_outputs(std::span<const float> y, std::span<const float> base,
                     const ClassifierData& data, ClassifierMeasurement& m) {
  const size_t classes = y.size() / static_cast<size_t>(data.count);
  int64_t right = 0, agree = 0;
  double squares = 0;
  for (size_t i = 0; i < static_cast<size_t>(data.count); ++i) {
    const int32_t guess = argmax(y.subspan(i * classes, classes));
    agree += guess == argmax(base.subspan(i * classes, classes)) ? 1 : 0;
    if (!data.labels.empty()) right += guess == data.labels[i] ? 1 : 0;
  }
  for (size_t i = 0; i < y.size(); ++i)
    squares += (static_cast<double>(y[i]) - base[i]) * (static_cast<double>(y[i]) - base[i]);
  const auto n = static_cast<double>(data.count);
  m.prediction_agreement = static_cast<double>(agree) / n;
  m.accuracy = data.labels.empty() ? -1 : static_cast<double>(right) / n;
  m.output_mse = squares / static_cast<double>(y.size());
}

// Both in turn; the model alone where it is its own baseline.
void time_batches(const Mlp& model, const Mlp* base, const ClassifierData& data, int runs,
                  const Exec& exec, ClassifierMeasurement& m) {
  const int64_t rows = std::min(kBatch, data.count), width = model.config().sizes.front();
  const auto x = std::span(data.inputs).first(static_cast<size_t>(rows * width));
  std::vector<std::function<void()>> works = {[&] { model.forward(x, rows, exec); }};
  if (base != nullptr) works.push_back([&] { base->forward(x, rows, exec); });
  TimedRounds rounds = time_rounds(works, {runs, 2, "time " + m.name}, exec);
  m.latency = std::move(rounds.latencies[0]);
  if (base != nullptr) m.base_latency = std::move(rounds.latencies[1]);
  m.waited_share = rounds.waited_share;
}

}  // namespace

ClassifierMeasurement measure_classifier(const std::string& name, const Model& folder,
                                         const Model& base, const ClassifierData& data, int runs,
                                         const Exec& exec) {
  const LinearOptions linear{.threads = exec.threads};
  const Mlp model = load_mlp(folder, linear), baseline = load_mlp(base, linear);
  const auto width = static_cast<size_t>(model.config().sizes.front());
  if (data.count < 1 || data.inputs.size() != static_cast<size_t>(data.count) * width) {
    throw invalid_argument(fmt::format(
        "the data does not hold inputs of {} numbers each, as the model expects", width));
  }
  ClassifierMeasurement m;
  m.name = name;
  m.scheme = scheme_summary(folder);
  for (const ParamSpec& p : parameter_table(folder.config)) m.parameters += p.shape.elements();
  m.file_bytes = folder.weights->file_bytes();
  m.memory_bytes = static_cast<int64_t>(model.memory_bytes());
  m.compression_ratio =
      static_cast<double>(base.weights->file_bytes()) / static_cast<double>(m.file_bytes);
  compare_outputs(outputs_of(folder, model, data, exec), outputs_of(base, baseline, data, exec),
                  data, m);
  if (runs != 0) time_batches(model, &folder == &base ? nullptr : &baseline, data, runs, exec, m);
  return m;
}

}  // namespace nibble
