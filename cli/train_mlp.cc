// nibble train mlp: the 784-512-512-10 classifier on MNIST, or with random weights where there is
// no data.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/mnist.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/json.h"
#include "nibble/jobs/mnist.h"
#include "nibble/train/mlp_trainer.h"

namespace nibble::cli {
namespace {

struct Trained {
  TrainResult result;
  double train_accuracy = -1;
  ClassifierMeasurement test;
  int64_t parameters = 0;
};

MlpTrainOptions mlp_options(const TrainJob& job) {
  MlpTrainOptions options;
  options.steps = job.steps.value_or(options.steps);
  options.batch = job.batch.value_or(options.batch);
  options.seed = job.seed;
  return options;
}

void refuse_what_does_not_apply(const TrainJob& job) {
  if (job.resume)
    throw invalid_argument("--resume: the mlp trains in seconds and keeps no checkpoint");
}

ModelFolder folder_of(const MlpConfig& config, const TensorMap& weights) {
  ModelFolder out;
  out.config = config;
  out.tensors = std::make_unique<MemorySource>(weights);
  return out;
}

Trained train(const TrainJob& job, const std::string& data, const MlpTrainOptions& options,
              const Exec& exec) {
  Trained out;
  const MnistSplit split = load_mnist(data, options.config);
  if (data.empty()) {
    out.result.weights = random_mlp_weights(options.config, job.seed);
  } else {
    out.result = nibble::train_mlp(
        options, split.train.inputs, split.train.labels, exec, [&](const TrainStep& s) {
          exec.report({"train", s.step, s.steps, fmt::format("loss {:.4f}", s.loss)});
        });
  }
  const ModelFolder model = folder_of(options.config, out.result.weights);
  out.test = measure_classifier("f32", model, model, split.test, 0, exec);
  if (!data.empty())
    out.train_accuracy = measure_classifier("f32", model, model, split.train, 0, exec).accuracy;
  for (const ParamSpec& p : parameter_table(options.config)) out.parameters += p.shape.elements();
  return out;
}

void show_mlp(const Common& common, const TrainJob& job, const MlpTrainOptions& options,
              const Trained& t) {
  const bool trained = !t.result.losses.empty();
  const double rate =
      t.result.seconds > 0 ? static_cast<double>(t.result.tokens) / t.result.seconds : 0;
  if (common.json) {
    JsonWriter out;
    out.begin_object().field("schema_version", 1).field("preset", "mlp").field("out", job.out);
    out.field("parameters", t.parameters).field("steps", trained ? options.steps : 0);
    out.field("batch", options.batch).field("seed", options.seed);
    out.field("train_loss", tail_mean(t.result.losses, 100)).field("seconds", t.result.seconds);
    out.field("images_per_second", rate).field("train_accuracy", t.train_accuracy);
    out.field("test_accuracy", t.test.accuracy).end_object();
    return print_raw(out.finish());
  }
  print_out(fmt::format("{} weights", t.parameters));
  if (trained) {
    print_out(fmt::format(", {} of {} in {:.2f} s ({:.0f} images/s)\n",
                          counted(options.steps, "step"), options.batch, t.result.seconds, rate));
    print_out(
        fmt::format("accuracy: {:.2f} % on the training images, {:.2f} % on the test images\n",
                    100 * t.train_accuracy, 100 * t.test.accuracy));
  } else {
    print_out(", random: no data was given (--data FOLDER with MNIST's IDX files trains it)\n");
  }
  if (!job.out.empty()) print_out(fmt::format("model: {}\n", job.out));
}

}  // namespace

void train_mlp(const Common& common, const TrainJob& job, const std::string& data) {
  refuse_what_does_not_apply(job);
  const MlpTrainOptions options = mlp_options(job);
  std::optional<AtomicFolder> folder;
  if (!job.out.empty()) folder.emplace(job.out, job.force);
  Trained trained;
  {
    const Exec exec = make_exec(common);
    trained = train(job, data, options, exec);
  }
  if (folder) {
    write_model(folder->path(), options.config, trained.result.weights, nullptr);
    folder->commit();
  }
  show_mlp(common, job, options, trained);
}

}  // namespace nibble::cli
