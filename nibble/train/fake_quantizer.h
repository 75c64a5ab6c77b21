// Fake quantization of one weight while it is trained (Jacob et al. 2018): passes multiply with the
// values that its codes stand for, and the gradient goes straight through the rounding, except
// where a weight lies beyond the grid (Bengio, Leonard and Courville 2013). Step sizes are learnt
// (LSQ: Esser et al. 2020; zero points as well: LSQ+, Bhalgat et al. 2020), as factors of those
// that the run began with:
//
//   scale = stored(scale0 * exp(t))        zero = round(zero0 + 2^bits * z)
//   w^ = dequantized(clamp(round(w / scale), low, high))
//   dL/dw = dL/dw^ inside, 0 beyond        dL/dt = sum dL/dw^ (w^ - w inside, w^ beyond)
//
// On a steady grid codes are those in steps of scale0, and a scale that is learnt multiplies them:
//
//   w^ = scale clamp(round(w / scale0), low, high)        dL/dt = sum dL/dw^ w^
//
// which is exact where LSQ's gradient is a guess: weights that lie on the grid, as methods leave
// them, have none in LSQ. A grid that has to grow with its weights needs LSQ.
//
// With f32 numbers and the scales as they are stored: w^ is what the packed weight dequantizes to,
// bit for bit. The scales of block types (GGUF's, MLX's) are not learnt but settled anew now and
// then.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/quant/quantized_tensor.h"

namespace nibble {

class FakeQuantizer {
 public:
  /// For a weight of `shape` that is to become what `scheme` says; `scale_dtype` as methods have
  /// it. Where inputs do not fit groups it is another scheme (storable_scheme()).
  FakeQuantizer(const QuantScheme& scheme, const Shape& shape, DType scale_dtype,
                bool steady_grid = false);

  const QuantScheme& scheme() const { return now_.scheme; }
  /// How many numbers are learnt besides the weights: t of every group, then z where the scheme is
  /// asymmetric; none of block types.
  int64_t learnt() const;

  /// Takes scales (and zero points) as `start` has them: learnt numbers of 0 stand for these.
  void settle(const QuantizedTensor& start);
  /// The scales that numbers learnt since stand for.
  void follow(const float* learnt);

  /// out [n, k] = w^.
  void make(const float* w, float* out) const;
  /// g = dL/dw^ becomes dL/dw; dlearnt [learnt()] = dL/d(learnt).
  void pull_back(const float* w, float* g, float* dlearnt) const;
  QuantizedTensor pack(const float* w) const;

  /// What settle() took, as numbers: for a checkpoint. Its size stays.
  std::span<const float> state() const { return state_; }
  int64_t state_size() const;
  void adopt(std::span<const float> state);

 private:
  struct Group {
    float scale, offset, low, high;  // low and high: levels
    float grid;                      // by which codes are found
  };
  Group group_of(int64_t index) const;
  template <class F>
  void for_each_group(F f) const;
  void round_group(const Group& g, std::span<const float> w, float* out) const;
  uint8_t code_of(int64_t index, float level) const;
  void read_scales();

  QuantizedTensor now_;  // without codes
  const DType scale_dtype_;
  const bool steady_grid_;
  int64_t groups_ = 0, group_ = 0;
  bool learns_ = false;
  std::span<const float> table_;              // values of codes, empty where they are levels
  float largest_ = 0;                         // of the table
  std::vector<float> scale_, offset_, zero_;  // of each group, as the tensors of now_ have them
  std::vector<float> state_;
};

/// Round to nearest with a search for scales where the scheme has one: what fake quantization
/// begins with where nothing else is given.
QuantizedTensor first_guess(const Tensor& w, const QuantScheme& scheme, DType scale_dtype,
                            std::string_view name, int threads);

}  // namespace nibble
