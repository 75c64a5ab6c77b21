#include "nibble/compress/kept_codes.h"

#include <algorithm>
#include <utility>

#include "nibble/core/float_formats.h"
#include "nibble/format/gguf_write.h"
#include "nibble/model/write_onnx.h"

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
  if (type == nullptr || w.k() % type->elements != 0) return false;
  return are_halves(w.scales) && (!w.offsets || are_halves(*w.offsets));
}

bool folder_holds(const ParamSpec& spec, const QuantScheme& scheme, const WeightLayout* layout) {
  const bool table = spec.role == Role::token_embedding || spec.role == Role::position_embedding;
  if (table || layout == nullptr) return !table && has_layout(scheme);
  return is_held(*layout, {module_of(spec.name), scheme, spec.shape, spec.transposed});
}

QuantScheme without_activations(QuantScheme scheme) {
  scheme.activations = ActivationType::none;
  return scheme;
}

bool holds(const ParamSpec& spec, const QuantizedTensor& w, const OutputFormat& output) {
  if (output.in_gguf) return gguf_holds(w);
  if (output.in_onnx) return fits_onnx(spec, without_activations(w.scheme));
  return folder_holds(spec, w.scheme, output.layout);
}

std::optional<KeptCodes> kept_in(const ParamSpec& spec, const QuantizedTensor& w,
                                 const OutputFormat& output) {
  if (w.input_order || !holds(spec, w, output)) return std::nullopt;
  const DType scales = w.scales.dtype();
  KeptCodes out{w.scheme, is_plain_scale(scales) ? scales : DType::f16};
  if (output.in_gguf || output.in_onnx) out.scheme = without_activations(out.scheme);
  return out;
}

}  // namespace

std::optional<KeptCodes> kept_codes(const ParamSpec& spec, const QuantizedTensor& w,
                                    std::span<const OutputFormat> outputs) {
  if (outputs.empty()) return kept_in(spec, w, {});
  std::optional<KeptCodes> kept;
  for (const OutputFormat& output : outputs) {
    const auto here = kept_in(spec, w, output);
    if (!here || (kept && kept->scheme != here->scheme)) return std::nullopt;
    kept = here;
  }
  return kept;
}

Weight with_kept_codes(Weight w, const QuantScheme& scheme) {
  QuantizedTensor& q = w.quantized();
  q.scheme = scheme;
  if (scheme.activations == ActivationType::none) q.activation.reset();
  return w;
}

}  // namespace nibble
