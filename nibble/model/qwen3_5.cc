// Qwen3.5, dense (Qwen Team 2026): gated DeltaNet in three of four layers, gated attention in the
// others.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"
#include "nibble/model/hf_qwen_hybrid.h"

namespace nibble::qwen3_5 {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::tensor_name_or_llama(hf::kDeltaNames, key);
}

DecoderConfig read_config(const JsonFields& f) { return hf::read_qwen_hybrid(f, "qwen3_5_text"); }

void write_config(const DecoderConfig& c, JsonWriter& out) { hf::write_qwen_hybrid(c, out); }

}  // namespace

const Architecture& architecture() {
  static const Architecture kQwen35{"qwen3_5_text", read_config, write_config, tensor_name,
                                    false,          "model.",    false,        hf::kQwenHybrid};
  return kQwen35;
}

}  // namespace nibble::qwen3_5
