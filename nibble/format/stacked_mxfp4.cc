// The layout in which OpenAI published gpt-oss (transformers 5.24 integrations/mxfp4.py, read
// 2026-11; docs/formats/mxfp4.md): of all experts of a layer at once X_blocks U8 [experts, n, k /
// 32, 16], two codes of E2M1 a byte, the lower half first, and X_scales U8 [experts, n, k / 32],
// exponents. An expert's part of them has the names of compressed-tensors by now
// (model/renamed_tensors.h). It is read, not written.
#include "nibble/core/error.h"
#include "nibble/format/known_keys.h"
#include "nibble/format/quantized_layout.h"

namespace nibble::stacked_mxfp4 {
namespace {

// Which modules are plain is told by the tensors.
constexpr KnownKey kTopKeys[] = {{"quant_method"}, {"modules_to_not_convert"}, {"dequantize"}};

const WeightLayout& layout_of_experts() { return *find_written_layout("compressed-tensors"); }

QuantizedTensor from_tensors(const TensorSource& source, const std::string& module,
                             const QuantScheme& scheme, const LayoutInUse& use) {
  return layout_of_experts().from_tensors(source, module, scheme, use);
}

std::vector<std::string> stored_names(const TensorSource& source, const std::string& module,
                                      const QuantScheme& scheme) {
  return layout_of_experts().stored_names(source, module, scheme);
}

StoredModules read_config(const JsonFields& f, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  require_known_keys(f, "quantization_config", kTopKeys);
  StoredModules out;
  for (const MatrixModule& m : modules) {
    if (tensors.contains(m.name + ".weight_packed"))
      out.schemes.emplace(m.name, parse_scheme("mxfp4"));
  }
  return out;
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {
      .from_tensors = from_tensors, .stored_names = stored_names, .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::stacked_mxfp4
