// A LoRA adapter as PEFT writes it: adapter_config.json beside adapter_model.safetensors.
// docs/formats/peft.md.
#pragma once

#include <map>
#include <string>

#include "nibble/core/tensor.h"
#include "nibble/format/peft_config.h"

namespace nibble {

/// What is added to the weight [n, k] of one module: scale B A.
struct PeftPair {
  Tensor a;                ///< [r, k]
  Tensor b;                ///< [n, r]
  double scale = 1;        ///< of the config
  bool embedding = false;  ///< of a table [n, k]: the file holds both transposed, under other names
};

/// A parameter in place of the base's, as plain files hold it.
struct PeftReplaced {
  Tensor tensor;
  bool saved = false;  ///< of modules_to_save: of that module alone, even where weights are tied
};

/// Modules and parameters have the names that transformers gives them:
/// "model.layers.0.self_attn.q_proj", "lm_head.weight".
struct PeftAdapter {
  PeftConfig config;
  std::map<std::string, PeftPair> pairs;
  std::map<std::string, PeftReplaced> replaced;
};

/// The folder, or its adapter_model.safetensors. Tensors are finite f32, f16 or bf16, mapped; each
/// pair is whole and of the rank that the config says, and the config says that its module is
/// changed. Errors name the file and the tensor or key.
PeftAdapter read_peft_adapter(const std::string& path);

/// Writes both files into `folder`. The config must say what is in the adapter.
void write_peft_adapter(const std::string& folder, const PeftAdapter& adapter);

}  // namespace nibble
