#include "nibble/model/stored_weights.h"

#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/transpose.h"

namespace nibble {
namespace {

// A number that is finite where it stands and is not as f32 would turn up as an infinite one.
Tensor as_f32(const Tensor& stored, std::string_view name) {
  refuse_nonfinite(stored, name);
  Tensor out = convert(stored, DType::f32);
  if (plainly_finite(out)) return out;
  throw unsupported("holds weights beyond the range of f32, in which nibble computes")
      .at("tensor " + in_quotes(name));
}

// A tensor as f32, each element more by `by`.
Tensor shifted(const Tensor& tensor, float by) {
  Tensor out = tensor.dtype() == DType::f32 ? tensor.clone() : convert(tensor, DType::f32);
  for (float& v : out.mutable_data<float>()) v += by;
  return out;
}

class StoredWeights : public WeightSource {
 public:
  StoredWeights(std::unique_ptr<TensorSource> tensors, StoredModules modules,
                const std::vector<ParamSpec>& table)
      : tensors_(std::move(tensors)), modules_(std::move(modules)) {
    for (const TensorInfo& info : tensors_->list()) dtypes_.emplace(info.name, info.dtype);
    for (const ParamSpec& p : table) {
      if (p.transposed || p.offset != 0) rearranged_.emplace(p.name, p);
    }
  }

  Weight get(std::string_view name) const override {
    if (const QuantScheme* scheme = scheme_of(name))
      return from_tensors(*tensors_, name, *scheme, modules_.layout);
    Tensor tensor = tensors_->get(name);
    if (is_other_float(tensor.dtype())) tensor = as_f32(tensor, name);
    const auto found = rearranged_.find(name);
    if (found == rearranged_.end()) return tensor;
    return from_stored(found->second, tensor);
  }

  StoredAs stored_as(std::string_view name) const override {
    if (const QuantScheme* scheme = scheme_of(name)) return {*scheme};
    const auto found = dtypes_.find(name);
    if (found == dtypes_.end())
      throw not_found("there is no such tensor").at("tensor " + in_quotes(name));
    return {std::nullopt, is_other_float(found->second) ? DType::f32 : found->second};
  }

  void release(std::string_view name) const override {
    const QuantScheme* scheme = scheme_of(name);
    if (scheme == nullptr) return tensors_->release(name);
    for (const std::string& part : stored_names(*tensors_, name, *scheme, modules_.layout)) {
      if (tensors_->contains(part)) tensors_->release(part);
    }
  }

  int64_t file_bytes() const override { return tensors_->file_bytes(); }

 private:
  const QuantScheme* scheme_of(std::string_view name) const {
    const auto found = modules_.schemes.find(module_of(name));
    return found == modules_.schemes.end() ? nullptr : &found->second;
  }
  std::unique_ptr<TensorSource> tensors_;
  StoredModules modules_;
  std::map<std::string, DType, std::less<>> dtypes_;
  std::map<std::string, ParamSpec, std::less<>> rearranged_;
};

}  // namespace

std::shared_ptr<const WeightSource> stored_weights(std::unique_ptr<TensorSource> tensors,
                                                   StoredModules modules,
                                                   const std::vector<ParamSpec>& table) {
  return std::make_shared<StoredWeights>(std::move(tensors), std::move(modules), table);
}

Shape stored_shape(const ParamSpec& spec) {
  return spec.transposed ? Shape{spec.shape[1], spec.shape[0]} : spec.shape;
}

Tensor as_stored(const ParamSpec& spec, const Tensor& tensor, DType dtype) {
  if (spec.transposed) return transpose(tensor);
  return spec.offset == 0 ? tensor : convert(shifted(tensor, -spec.offset), dtype);
}

Tensor from_stored(const ParamSpec& spec, const Tensor& tensor) {
  if (spec.transposed) return transpose(tensor);
  return spec.offset == 0 ? tensor : shifted(tensor, spec.offset);
}

bool can_be_multiplied(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

bool is_other_float(DType dtype) {
  return dtype == DType::f64 || dtype == DType::f8_e4m3 || dtype == DType::f8_e5m2;
}

}  // namespace nibble
