// EXAONE 4 (LG AI Research 2025): norms behind each half of a layer, norms of every query and key,
// and rotary positions only where a layer sees a window.
#include <algorithm>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::exaone4 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::post_attn_norm, "post_attention_layernorm"},
                                  {Role::post_mlp_norm, "post_feedforward_layernorm"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

// "LLLG", or how many layers there are to one that sees all.
int64_t pattern_of(const JsonFields& f) {
  constexpr std::string_view kKey = "sliding_window_pattern";
  if (!f.contains(kKey) || f.is_null(kKey)) return 4;
  if (f.is_string(kKey)) return std::max<int64_t>(1, std::ssize(f.string(kKey)));
  return hf::size(f, kKey);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "exaone4");
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.pre_norms = false;
  c.post_norms = true;
  c.qk_norm = QkNorm::heads;
  hf::read_window_pattern(f, pattern_of(f), c);
  if (c.sliding_window == 0) return c;
  for (const LayerKind kind : c.layer_kinds)
    c.turned.push_back(static_cast<uint8_t>(kind == LayerKind::window));
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
  hf::write_layer_types(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kExaone4{"exaone4", read_config, write_config, tensor_name,
                                     false,     "model.",    false,        {}};
  return kExaone4;
}

}  // namespace nibble::exaone4
