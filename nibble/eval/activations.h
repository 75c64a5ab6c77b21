// What goes into each Linear: activations collected while a model reads text, and their outliers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/distribution.h"
#include "nibble/model/decoder.h"

namespace nibble {

/// Keeps the first `limit` rows of every Linear's input.
class ActivationCollector : public ActivationObserver {
 public:
  explicit ActivationCollector(int64_t limit) : limit_(limit) {}
  void observe(std::string_view name, std::span<const float> x, int64_t m, int64_t k) override;
  /// Outliers beyond `sigmas` standard deviations of each input, its channels the columns.
  std::vector<OutlierStats> outliers(double sigmas) const;

 private:
  struct Input {
    int64_t width = 0;
    std::vector<float> rows;
  };
  int64_t limit_;
  std::map<std::string, Input, std::less<>> inputs_;
};

/// Runs the model over the sequences until `rows` rows of every input are collected.
std::vector<OutlierStats> activation_outliers(const Decoder& model,
                                              const std::vector<std::vector<int32_t>>& sequences,
                                              int64_t rows, double sigmas, const Exec& exec);

}  // namespace nibble
