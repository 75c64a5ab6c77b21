#include <fmt/format.h>

#include <memory>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/jobs/mnist.h"
#include "nibble/jobs/train.h"
#include "nibble/train/mlp_trainer.h"

namespace nibble {
namespace {

MlpTrainOptions mlp_options(const TrainJob& job) {
  MlpTrainOptions options;
  options.steps = job.steps.value_or(options.steps);
  options.batch = job.batch.value_or(options.batch);
  options.seed = job.seed;
  return options;
}

Model folder_of(const MlpConfig& config, const TensorMap& weights) {
  Model out;
  out.config = config;
  out.weights = weights_in_memory(weights);
  return out;
}

TrainResult train_or_draw(const MlpTrainOptions& options, const MnistSplit& split,
                          const Exec& exec) {
  TrainResult out;
  if (split.train.count > 0)
    return train_mlp(options, split.train.inputs, split.train.labels, exec,
                     [&](const TrainStep& s) {
                       exec.report({"train", s.step, s.steps, fmt::format("loss {:.4f}", s.loss)});
                     });
  out.weights = random_mlp_weights(options.config, options.seed);
  return out;
}

ClassifierSummary summary_of(const MlpTrainOptions& options, const TrainResult& r,
                             const MnistSplit& split, const Exec& exec) {
  ClassifierSummary out;
  const Model model = folder_of(options.config, r.weights);
  const auto accuracy = [&](const ClassifierData& data) {
    return measure_classifier("f32", model, model, data, 0, exec).accuracy;
  };
  for (const ParamSpec& p : parameter_table(options.config)) out.parameters += p.shape.elements();
  out.steps = r.losses.empty() ? 0 : options.steps;
  out.batch = options.batch;
  out.seed = options.seed;
  out.train_loss = final_loss(r.losses);
  out.seconds = r.seconds;
  out.images_per_second = r.seconds > 0 ? static_cast<double>(r.tokens) / r.seconds : 0;
  out.test_accuracy = accuracy(split.test);
  if (split.train.count > 0) out.train_accuracy = accuracy(split.train);
  return out;
}

}  // namespace

ClassifierSummary train_classifier(const TrainJob& job, const Exec& exec) {
  if (job.resume)
    throw invalid_argument("`resume`: the mlp trains in seconds and keeps no checkpoint");
  const MlpTrainOptions options = mlp_options(job);
  std::optional<AtomicFolder> folder;
  if (!job.out.empty()) folder.emplace(job.out, job.force);
  const MnistSplit split = load_mnist(job.data, options.config);
  const TrainResult result = train_or_draw(options, split, exec);
  const ClassifierSummary out = summary_of(options, result, split, exec);
  if (folder) {
    write_model(folder->path(), options.config, result.weights, nullptr);
    folder->commit();
  }
  return out;
}

}  // namespace nibble
