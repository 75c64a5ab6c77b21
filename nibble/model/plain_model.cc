#include "nibble/model/plain_model.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/core/counted.h"

namespace nibble {
namespace {

class PlainWeights : public WeightSource {
 public:
  explicit PlainWeights(std::shared_ptr<const WeightSource> packed) : packed_(std::move(packed)) {}

  Weight get(std::string_view name) const override {
    Weight w = packed_->get(name);
    return w.is_quantized() ? Weight(w.floats()) : w;
  }
  StoredAs stored_as(std::string_view name) const override {
    const StoredAs stored = packed_->stored_as(name);
    return stored.scheme ? StoredAs{std::nullopt, DType::f16} : stored;
  }
  void release(std::string_view name) const override { packed_->release(name); }
  int64_t file_bytes() const override { return packed_->file_bytes(); }

 private:
  std::shared_ptr<const WeightSource> packed_;
};

std::string told(const Model& model, size_t quantized) {
  return fmt::format(
      "this model is quantized already, {} in {}: what that lost does not come back, and all that "
      "is measured is measured against what it left",
      counted(static_cast<int64_t>(quantized), "matrix", "matrices"), scheme_summary(model));
}

}  // namespace

Model plain_model(const Model& model) {
  const size_t quantized = schemes_of(model).size();
  if (quantized == 0) return model;
  Model out = model;
  out.as_stored = model.weights;
  out.weights = std::make_shared<PlainWeights>(model.weights);
  out.warnings.push_back(told(model, quantized));
  return out;
}

}  // namespace nibble
