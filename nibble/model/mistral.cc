// Mistral 7B (Jiang et al. 2023): Llama whose layers see a sliding window, where there is one.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::mistral {
namespace {

constexpr int64_t kWindow = 4096;  // transformers' default

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "mistral");
  hf::read_window(f, kWindow, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
}

bool has_window(const GgufMetadata& metadata) {
  return metadata.integer_if("llama.expert_count").value_or(0) == 0 &&
         metadata.contains("llama.attention.sliding_window");
}

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{"llama", hf::llama_gguf_keys(), true, has_window, nullptr,
                                      nullptr, hf::has_one_window};
  static const Architecture kMistral{"mistral", read_config, write_config, hf::llama_tensor_name,
                                     false,     "model.",    false,        {},
                                     &kGguf};
  return kMistral;
}

}  // namespace nibble::mistral
