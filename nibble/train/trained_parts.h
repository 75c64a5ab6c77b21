// TrainedParts: what is trained of a decoder, and how the weights that it multiplies with come of
// that: the weights themselves, weights that are quantized on the way, or adapters beside weights
// that stay.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nibble/quant/weight.h"
#include "nibble/train/layout.h"

namespace nibble {

/// What came of the trained numbers, by stored name.
using TrainedWeights = std::map<std::string, Weight>;

/// Parameterization of one decoder. `trained` is a flat array as layout() has it, the same one in
/// every call.
class TrainedParts {
 public:
  virtual ~TrainedParts() = default;
  virtual const FlatLayout& layout() const = 0;
  /// Writes what the run begins with.
  virtual void begin(float* trained) = 0;
  /// What passes multiply with: where it lies stays, prepare() writes it.
  virtual DecoderView<float> view(const float* trained) = 0;
  /// Where passes add up gradients by what they multiply with.
  virtual DecoderSlopes<float> slopes(float* gradient) const = 0;
  /// Every shares-th part of what comes of the trained numbers, from number `share` on.
  virtual void prepare(const float* trained, int64_t share, int64_t shares) = 0;
  /// Whether pull_back() does anything.
  virtual bool pulls_back() const { return false; }
  /// The gradient by what passes multiply with becomes the gradient by the trained numbers.
  virtual void pull_back(const float* /*trained*/, float* /*gradient*/, int64_t /*share*/,
                         int64_t /*shares*/) {}
  /// Called before step number `step`, 0 for the first, by one thread: what is settled anew now and
  /// then.
  virtual void before_step(int64_t /*step*/, float* /*trained*/, int /*threads*/) {}
  virtual TrainedWeights result(const float* trained) = 0;
  /// What a run that goes on needs besides the trained numbers.
  virtual std::vector<float> state() const { return {}; }
  /// The same from a checkpoint. Error{corrupt} where it does not fit.
  virtual void adopt_state(std::span<const float> /*state*/) {}
};

}  // namespace nibble
