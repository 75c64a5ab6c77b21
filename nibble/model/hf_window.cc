// Sliding windows of some layers in config.json.
#include <fmt/format.h>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

namespace {
// transformers' defaults.
constexpr int64_t kWindow = 4096, kFirst = 28;
}  // namespace

void read_upper_window(const JsonFields& f, DecoderConfig& c) {
  const int64_t window = f.integer_or("sliding_window", kWindow);
  const int64_t first = f.integer_or("max_window_layers", kFirst);
  if (f.boolean_or("use_sliding_window", false)) c.sliding_window = window;
  if (c.sliding_window > 0) c.first_window_layer = first;
  // transformers 5 says it layer by layer as well; what nibble computes must agree.
  const std::vector<std::string> kinds = f.strings("layer_types");
  for (size_t i = 0; i < kinds.size(); ++i) {
    const bool windowed = c.sliding_window > 0 && static_cast<int64_t>(i) >= c.first_window_layer;
    const std::string_view expected = windowed ? "sliding_attention" : "full_attention";
    if (kinds[i] == expected) continue;
    throw unsupported(
        fmt::format("layer {} is {}; by sliding_window and max_window_layers it is {}", i,
                    in_quotes(kinds[i]), expected))
        .at("key \"layer_types\"");
  }
}

void write_upper_window(const DecoderConfig& c, JsonWriter& out) {
  out.field("use_sliding_window", c.sliding_window > 0);
  if (c.sliding_window == 0) return;
  out.field("sliding_window", c.sliding_window);
  out.field("max_window_layers", c.first_window_layer);
}

}  // namespace nibble::hf
