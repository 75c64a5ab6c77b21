// All parameters of a decoder, or of one of its layers, under training, some of them
// fake-quantized.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/train/fake_quantizer.h"
#include "nibble/train/narrow_weights.h"
#include "nibble/train/trained_parts.h"

namespace nibble {

/// Which weights are fake-quantized, and how.
struct FakeQuantization {
  std::map<std::string, QuantScheme> schemes;  ///< by stored name; empty: none
  DType scale_dtype = DType::f16;
  int64_t begin = 0;         ///< the first step (0: from the start) in which they are
  int64_t refresh = 25;      ///< steps between two searches for the scales of block types
  double scale_rate = 1;     ///< learning rate of step sizes, as a share of that of weights
  bool steady_grid = false;  ///< FakeQuantizer's
  bool only_scales = false;  ///< of all that is trained these alone are learnt
  /// Weights whose scales are known, by a method that chose them; others get first_guess().
  std::map<std::string, QuantizedTensor> known = {};
};

class WholeDecoder : public TrainedParts {
 public:
  /// Fills the flat array of parameters.
  using Begin = std::function<void(const FlatLayout&, float* trained)>;
  /// ops must outlive it.
  /// Where `narrow`, products are in bf16 (NarrowWeights), of a teacher's not.
  WholeDecoder(ParamLayout layout, const TrainOps<float>& ops, Begin begin,
               FakeQuantization quantization = {}, bool narrow = false);

  const FlatLayout& layout() const override { return layout_; }
  void begin(float* trained) override;
  DecoderView<float> view(const float* trained) override;
  DecoderSlopes<float> slopes(float* gradient) const override;
  void prepare(const float* trained, int64_t share, int64_t shares) override;
  bool pulls_back() const override { return !fakes_.empty(); }
  void pull_back(const float* trained, float* gradient, int64_t share, int64_t shares) override;
  void before_step(int64_t step, float* trained, int threads) override;
  TrainedWeights result(const float* trained) override;
  std::vector<float> state() const override;
  void adopt_state(std::span<const float> state) override;

 private:
  struct Fake {
    size_t row;  // of the table
    FakeQuantizer quantizer;
    int64_t learnt;  // where its numbers lie in the flat array
  };
  void settle(Fake& fake, float* trained, int threads, bool first);
  void quantize(size_t row, const float* trained);
  ActivationType inputs_of(size_t product) const;
  void copy_product(size_t product, const float* weights);

  ParamLayout layout_;
  const TrainOps<float>& ops_;
  const Begin begin_;
  const FakeQuantization quantization_;
  std::vector<Fake> fakes_;
  std::vector<Fake*> fake_of_;          // by row; null: it is multiplied with as it is
  bool on_ = false;                     // fake quantization
  std::vector<ActivationType> inputs_;  // of every product, as they are rounded now
  std::vector<bool> decides_;           // of every product: a router, which is never rounded
  Buffer<float> effective_, transposed_;
  std::unique_ptr<NarrowWeights> narrow_;  // null: products are in f32
};

}  // namespace nibble
