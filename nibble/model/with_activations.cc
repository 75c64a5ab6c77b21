#include "nibble/model/with_activations.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

bool can_round(const QuantScheme& scheme, ActivationType activations) {
  const unsigned part = activations == ActivationType::a8 ? kA8Part : kA8FullPart;
  return scheme.activations == ActivationType::none && (number(scheme).parts & part) != 0;
}

class RoundedInputs : public WeightSource {
 public:
  RoundedInputs(std::shared_ptr<const WeightSource> base, ActivationType activations)
      : base_(std::move(base)), activations_(activations) {}

  Weight get(std::string_view name) const override {
    Weight w = base_->get(name);
    if (w.is_quantized()) set(w.quantized().scheme);
    return w;
  }
  StoredAs stored_as(std::string_view name) const override {
    StoredAs stored = base_->stored_as(name);
    if (stored.scheme) set(*stored.scheme);
    return stored;
  }
  void release(std::string_view name) const override { base_->release(name); }
  int64_t file_bytes() const override { return base_->file_bytes(); }

 private:
  void set(QuantScheme& scheme) const {
    if (can_round(scheme, activations_)) scheme.activations = activations_;
  }
  std::shared_ptr<const WeightSource> base_;
  ActivationType activations_;
};

}  // namespace

ActivationType parse_activations(std::string_view name) {
  QuantScheme scheme = parse_scheme("int8");
  if (name == "a8" || name == "a8full")
    scheme.activations = parse_scheme(fmt::format("int8:{}", name)).activations;
  if (scheme.activations != ActivationType::none) return scheme.activations;
  throw invalid_argument(fmt::format("`activations` {}: use a8 or a8full", in_quotes(name)));
}

Model with_activations(const Model& model, ActivationType activations) {
  int64_t rounded = 0, left = 0;
  for (const auto& [module, scheme] : schemes_of(model))
    ++(can_round(scheme, activations) ? rounded : left);
  if (rounded == 0)
    throw invalid_argument(
        "`activations` does nothing here: no matrix is stored in codes that are multiplied so "
        "(it can be quantized to such while it is loaded)");
  Model out = model;
  out.weights = std::make_shared<RoundedInputs>(model.weights, activations);
  if (left > 0)
    out.warnings.push_back(
        fmt::format("the inputs of {} stay as they are: their type, or their own kind of inputs, "
                    "goes before",
                    counted(left, "matrix", "matrices")));
  return out;
}

}  // namespace nibble
