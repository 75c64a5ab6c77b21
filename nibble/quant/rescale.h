// Rescaler: chooses scales for the channels of one fold site (model/fold_sites.h): inputs x become
// x / s, columns of the weights that read them w * s, so that the function stays and rounding hurts
// less. One file for each, named in rescalers.inc; a quantizer (quant/method.h) follows.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/core/tensor.h"
#include "nibble/quant/calibration.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// A weight that reads the site's channels and will be quantized.
struct SiteReader {
  std::span<const float> w;  ///< [n, k]
  int64_t n = 0;
  QuantScheme scheme;
  std::string_view name = "weight";  ///< for errors
};

struct SiteTask {
  const InputStatistics& input;   ///< with hessian where no reader's scheme has activations
  std::span<const float> sample;  ///< rows of x, [m, k]; what quantized activations are tried on
  std::vector<SiteReader> readers;
  DType scale_dtype = DType::f16;
  /// Makes scales equal where the site asks for it; may be empty.
  std::function<void(std::span<float>)> tie;
  int threads = 1;
};

struct SiteScales {
  std::vector<float> scales;  ///< [k], positive
  double exponent = 0;        ///< 0 where nothing was better than no scale
  /// Squared error of the readers' outputs when rounded to nearest, summed over them (of a sample
  /// of outputs where there are many): with these scales, and with none.
  double error = 0, plain_error = 0;
};

struct Rescaler {
  std::string_view name, summary;
  /// The quantizer that follows where no other is named.
  std::string_view quantizer;
  SiteScales (*choose)(const SiteTask& task) = nullptr;
};

std::span<const Rescaler> rescalers();
/// Null where there is none of this name.
const Rescaler* find_rescaler(std::string_view name);

/// The error that SiteScales means, for given scales. With quantized activations: on the sample,
/// which is rounded as the scheme says; else tr(dW H dW^T).
double site_error(const SiteTask& task, std::span<const float> scales);

/// Tries each of the candidates (tied and normalized to a geometric mean of 1 of largest and
/// smallest, none below 1e-4) and no scale at all; the least error wins. `exponents` are reported.
SiteScales best_scales(const SiteTask& task, std::span<const std::vector<float>> candidates,
                       std::span<const double> exponents);

/// The largest magnitude (or, the mean magnitude relative to its row group's largest) of each
/// column over all readers, [k].
std::vector<float> column_absmax(const SiteTask& task);
std::vector<float> column_mean_share(const SiteTask& task);

}  // namespace nibble
