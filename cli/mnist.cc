#include "cli/mnist.h"

#include <fmt/format.h>

#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/format/idx.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/classifier_report.h"
#include "nibble/report/json_report.h"

namespace nibble::cli {
namespace {

constexpr double kTrainShare = 0.8;
constexpr int64_t kRandomInputs = 1024;

ClassifierData part(const IdxData& images, const IdxData& labels, int64_t begin, int64_t end,
                    int64_t width) {
  ClassifierData out;
  out.count = end - begin;
  out.labels.assign(labels.values.begin() + begin, labels.values.begin() + end);
  for (int64_t i = begin * width; i < end * width; ++i) {
    out.inputs.push_back(static_cast<float>(images.values[static_cast<size_t>(i)]) / 255.0f);
  }
  return out;
}

ClassifierData random_inputs(int64_t width) {
  PyRandom random(42);
  ClassifierData out;
  out.count = kRandomInputs;
  for (int64_t i = 0; i < out.count * width; ++i)
    out.inputs.push_back(static_cast<float>(random.gauss(0, 1)));
  return out;
}

void check_pair(const Shape& images, const Shape& labels, const std::string& folder,
                int64_t width) {
  const bool shapes = images.rank() == 3 && labels.rank() == 1 && images[0] == labels[0];
  if (!shapes || images[0] < 2) {
    throw corrupt(fmt::format("expected as many images as labels, found images {} and labels {}",
                              images.to_string(), labels.to_string()))
        .in_file(folder);
  }
  if (images[1] * images[2] != width) {
    throw corrupt(fmt::format("images of {} x {} pixels do not fit a model with {} inputs",
                              images[1], images[2], width))
        .in_file(folder);
  }
}

IdxData read_labels(const std::string& path, int64_t classes) {
  IdxData labels = read_idx(path);
  for (size_t i = 0; i < labels.values.size(); ++i) {
    if (labels.values[i] < classes) continue;
    throw corrupt(
        fmt::format("label {} is {}, the model has {} classes", i, labels.values[i], classes))
        .in_file(path);
  }
  return labels;
}

void show_mnist(const Common& common, const std::vector<ClassifierMeasurement>& models) {
  common.json ? print_raw(models_json(models)) : print_out(render_table(models));
}

}  // namespace

MnistSplit load_mnist(const std::string& folder, const MlpConfig& config) {
  const int64_t width = config.sizes.front();
  if (folder.empty()) return {{}, random_inputs(width)};
  const MnistPaths paths = find_mnist(folder);
  check_pair(read_idx_shape(paths.images), read_idx_shape(paths.labels), folder, width);
  const IdxData labels = read_labels(paths.labels, config.sizes.back()),
                images = read_idx(paths.images);
  const int64_t n = images.shape[0],
                cut = static_cast<int64_t>(kTrainShare * static_cast<double>(n));
  return {part(images, labels, 0, cut, width), part(images, labels, cut, n, width)};
}

void eval_mlp(const Common& common, const ModelFolder& model, const std::string& base,
              const std::string& data) {
  const MnistSplit split = load_mnist(data, model.mlp_config());
  const Exec exec = make_exec(common);
  const ModelFolder baseline = open_model(base.empty() ? model.path : base);
  std::vector<ClassifierMeasurement> rows;
  if (!base.empty())
    rows.push_back(measure_classifier(base, baseline, baseline, split.test, kEnoughRuns, exec));
  rows.push_back(measure_classifier(model.path, model, baseline, split.test, kEnoughRuns, exec));
  show_mnist(common, rows);
}

void compare_mlp(const Common& common, const std::vector<std::string>& models,
                 const std::vector<std::string>& schemes, const std::string& data, int runs) {
  const ModelFolder base = open_model(resolve_model(models.front()));
  const MnistSplit split = load_mnist(data, base.mlp_config());
  const Exec exec = make_exec(common);
  std::vector<ClassifierMeasurement> rows;
  rows.reserve(models.size() + schemes.size());
  rows.push_back(measure_classifier(models.front(), base, base, split.test, runs, exec));
  for (size_t i = 1; i < models.size(); ++i)
    rows.push_back(measure_classifier(models[i], open_model(resolve_model(models[i])), base,
                                      split.test, runs, exec));
  for (const std::string& text : schemes) {
    QuantizeOptions q;
    q.scheme = parse_scheme(text);
    rows.push_back(measure_classifier(to_string(q.scheme), quantize_in_memory(base, q, exec), base,
                                      split.test, runs, exec));
  }
  show_mnist(common, rows);
}

}  // namespace nibble::cli
