// Gemma 3, its text part (Gemma Team 2025): Gemma 2 with norms of every query and key in the place
// of caps, and windows in five of six layers, which have rotary positions of their own.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_gemma.h"

namespace nibble::gemma3 {
namespace {

constexpr double kTheta = 1e6, kLocalTheta = 1e4;
constexpr int64_t kPattern = 6;

// Files before transformers 5 say one for layers that see all, and a theta for the others.
RopeConfig window_rope(const JsonFields& f, const DecoderConfig& c) {
  if (f.has_section("rope_parameters.sliding_attention"))
    return hf::read_rope(f, kLocalTheta, c.context, {.layers = "sliding_attention"});
  RopeConfig plain;
  plain.theta = hf::positive_or(f, "rope_local_base_freq", kLocalTheta);
  return plain;
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_gemma_like(f, "gemma3_text", kTheta);
  c.qk_norm = QkNorm::heads;
  c.attention_softcap = hf::read_cap(f, "attn_logit_softcapping", 0);
  c.final_softcap = hf::read_cap(f, "final_logit_softcapping", 0);
  c.window_rope = window_rope(f, c);
  int64_t pattern = kPattern;
  for (const std::string_view key : {"sliding_window_pattern", "_sliding_window_pattern"}) {
    if (f.contains(key)) pattern = hf::size(f, key);
  }
  hf::read_window_pattern(f, pattern, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_gemma_like(c, out, false);
  hf::write_rope_parameters(c, out);
}

constexpr std::string_view kHarmless[] = {"cache_implementation"};

}  // namespace

const Architecture& architecture() {
  static constexpr Architecture kGemma3{
      "gemma3_text", read_config, write_config, hf::gemma_tensor_name,
      false,         "model.",    false,        kHarmless};
  return kGemma3;
}

}  // namespace nibble::gemma3
