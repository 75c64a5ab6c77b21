// A LoRA adapter on a small model: adapter_config.json, the header of adapter_model.safetensors and
// its data. What opens is computed with: every weight is finite.
#include "fuzz/folder.h"
#include "fuzz/parts.h"
#include "fuzz/safetensors_bytes.h"
#include "nibble/core/error.h"
#include "nibble/core/finite.h"
#include "nibble/model/adapted_model.h"
#include "tests/support/tiny_decoders.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const nibble::Model base = nibble::tiny_decoder(nibble::tiny_decoder_config("llama"), 1);
  const auto [config, header, tensors] = parts_of<3>(data, size);
  const Folder folder;
  folder.put("adapter_config.json", config);
  folder.put("adapter_model.safetensors", safetensors_bytes(header, tensors));
  try {
    const nibble::Model adapted = nibble::with_adapters(base, {{folder.path(), 0.5}});
    for (const nibble::ParamSpec& p : parameter_table(adapted.config)) {
      const nibble::Weight w = nibble::load_weight(adapted, p);
      if (w.shape() != p.shape) __builtin_trap();
      if (w.added() != nullptr && !nibble::all_finite(w.added()->b.data<float>())) __builtin_trap();
    }
    (void)nibble::load_decoder(adapted);
  } catch (const nibble::Error&) {
  }
  return 0;
}
