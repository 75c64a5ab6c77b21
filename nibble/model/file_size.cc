#include "nibble/model/file_size.h"

#include "nibble/format/safetensors.h"
#include "nibble/model/written_tensors.h"

namespace nibble {

std::optional<int64_t> planned_file_bytes(const std::vector<WritableParameter>& parameters,
                                          const WeightLayout* layout) {
  SchemeMap schemes;
  for (const WritableParameter& p : parameters) {
    if (p.scheme) schemes.emplace(module_of(p.spec.name), *p.scheme);
  }
  if (layout == nullptr) layout = layout_that_says(schemes);
  for (const auto& [name, scheme] : schemes) {
    if (!has_layout(scheme)) return std::nullopt;
  }
  return safetensors_folder_bytes(written_tensors(parameters, layout));
}

}  // namespace nibble
