#include "nibble/compress/kept_codes.h"

#include <algorithm>
#include <utility>

#include "nibble/core/float_formats.h"
#include "nibble/format/gguf_write.h"

namespace nibble {
namespace {

bool is_plain_scale(DType dtype) {
  return dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f32;
}

bool are_halves(const Tensor& t) {
  if (t.dtype() != DType::f32 && t.dtype() != DType::bf16) return true;
  const Tensor wide = convert(t, DType::f32), narrow = convert(convert(t, DType::f16), DType::f32);
  const auto x = wide.data<float>(), y = narrow.data<float>();
  return std::equal(x.begin(), x.end(), y.begin(), y.end());
}

bool gguf_holds(const QuantizedTensor& w) {
  const GgufType* type = gguf_type_of(w.scheme);
  if (type == nullptr || w.k() % type->elements != 0 || w.input_order) return false;
  return are_halves(w.scales) && (!w.offsets || are_halves(*w.offsets));
}

bool folder_holds(const ParamSpec& spec, const QuantScheme& scheme) {
  const bool table = spec.role == Role::token_embedding || spec.role == Role::position_embedding;
  return !table && has_layout(scheme);
}

}  // namespace

std::optional<KeptCodes> kept_codes(const ParamSpec& spec, const QuantizedTensor& w, bool in_gguf) {
  if (!(in_gguf ? gguf_holds(w) : folder_holds(spec, w.scheme))) return std::nullopt;
  const DType scales = w.scales.dtype();
  KeptCodes out{w.scheme, is_plain_scale(scales) ? scales : DType::f16};
  if (in_gguf) out.scheme.activations = ActivationType::none;
  return out;
}

Weight with_kept_codes(Weight w, const QuantScheme& scheme) {
  QuantizedTensor& q = w.quantized();
  q.scheme = scheme;
  if (scheme.activations == ActivationType::none) q.activation.reset();
  return w;
}

}  // namespace nibble
