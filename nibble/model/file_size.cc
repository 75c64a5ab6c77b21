#include "nibble/model/file_size.h"

#include "nibble/format/safetensors.h"
#include "nibble/model/stored_weights.h"

namespace nibble {

std::optional<int64_t> planned_file_bytes(const std::vector<WritableParameter>& parameters,
                                          const WeightLayout* layout) {
  SchemeMap schemes;
  for (const WritableParameter& p : parameters) {
    if (p.scheme) schemes.emplace(module_of(p.spec.name), *p.scheme);
  }
  if (layout == nullptr) layout = layout_that_says(schemes);
  std::vector<LazyTensor> tensors;
  for (const WritableParameter& p : parameters) {
    if (!p.scheme) {
      tensors.push_back({{p.spec.name, p.dtype, stored_shape(p.spec)}, nullptr});
      continue;
    }
    if (!has_layout(*p.scheme)) return std::nullopt;
    for (TensorInfo& info : tensor_layout(p.spec.name, *p.scheme, p.spec.shape, p.dtype, layout))
      tensors.push_back({std::move(info), nullptr});
  }
  return safetensors_folder_bytes(tensors);
}

}  // namespace nibble
