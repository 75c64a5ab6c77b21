#include "nibble/jobs/mnist.h"

#include <fmt/format.h>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/format/idx.h"

namespace nibble {
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

}  // namespace nibble
