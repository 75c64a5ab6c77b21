// LFM2 (Liquid AI 2025): short gated convolutions in most layers, attention with normed queries and
// keys in the others.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/model/architecture.h"
#include "nibble/model/hf_lfm2.h"

namespace nibble::lfm2 {
namespace {

// How weights were drawn, and sizes that others say as well.
constexpr std::string_view kHarmless[] = {"block_dim",
                                          "block_mlp_init_scale",
                                          "block_norm_eps",
                                          "block_out_init_scale",
                                          "block_use_swiglu",
                                          "block_use_xavier_init",
                                          "conv_dim",
                                          "conv_dim_out",
                                          "conv_use_xavier_init",
                                          "num_heads",
                                          "use_pos_enc",
                                          "intermediate_size"};

constexpr double kWidest = int64_t{1} << 31;

// Two thirds of the width that is named, in whole blocks.
int64_t adjusted(const JsonFields& f, int64_t width) {
  if (!f.boolean_or("block_auto_adjust_ff_dim", true)) return width;
  width = 2 * width / 3;
  constexpr std::string_view kMultiplier = "block_ffn_dim_multiplier";
  if (!f.is_null(kMultiplier)) {
    const double multiplier = f.number_or(kMultiplier, 1.0);
    const double product = multiplier * static_cast<double>(width);
    if (!(multiplier > 0 && product <= kWidest))
      throw corrupt(fmt::format("is {}: no width of an MLP comes of it", multiplier))
          .at(hf::at_key(kMultiplier));
    width = static_cast<int64_t>(product);
  }
  const int64_t unit = f.contains("block_multiple_of") ? hf::size(f, "block_multiple_of") : 256;
  return ceil_div(width, unit) * unit;
}

// Before transformers had the architecture, files called three settings otherwise; where they do
// so, transformers takes these.
int64_t width_of(const JsonFields& f) {
  const bool old = f.contains("block_ff_dim") && !f.is_null("block_ff_dim");
  return hf::size(f, old ? "block_ff_dim" : "intermediate_size");
}

DecoderConfig read_config(const JsonFields& f) {
  return hf::read_lfm2_like(f, "lfm2", adjusted(f, width_of(f)));
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_lfm2_like(c, out);
  out.field("block_auto_adjust_ff_dim", false);
}

}  // namespace

const Architecture& architecture() {
  static constexpr Architecture kLfm2{"lfm2", read_config, write_config, hf::lfm2_tensor_name,
                                      false,  "model.",    false,        kHarmless};
  return kLfm2;
}

}  // namespace nibble::lfm2
