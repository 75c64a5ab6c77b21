// Kinds of layers in config.json: which see all positions, which a window, which are no attention.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

namespace {
// transformers' defaults.
constexpr int64_t kWindow = 4096, kFirst = 28;

constexpr std::string_view kKinds[] = {"full_attention",
                                       "sliding_attention",
                                       "conv",
                                       "linear_attention",
                                       "linear_attention",
                                       "hybrid",
                                       "none"};  // LayerKind

std::string_view name_of_kind(LayerKind kind) { return kKinds[static_cast<size_t>(kind)]; }

LayerKind kind_of(const std::string& name, std::span<const LayerKind> known) {
  std::vector<std::string_view> names;
  for (const LayerKind kind : known) {
    if (name_of_kind(kind) == name) return kind;
    names.push_back(name_of_kind(kind));
  }
  throw unsupported(fmt::format("a layer is {}, which cannot be run here (expected one of {})",
                                in_quotes(name), fmt::join(names, ", ")))
      .at("key \"layer_types\"");
}

}  // namespace

bool has_one_window(const DecoderConfig& c) {
  const auto all = std::count(c.layer_kinds.begin(), c.layer_kinds.end(), LayerKind::window);
  return all == 0 || all == c.layers;
}

void set_layer_kinds(DecoderConfig& c, const std::function<LayerKind(int64_t layer)>& kind) {
  c.layer_kinds.clear();
  for (int64_t layer = 0; layer < std::min(c.layers, kMostLayers); ++layer)
    c.layer_kinds.push_back(kind(layer));
}

void read_layer_types(const JsonFields& f, std::span<const LayerKind> known,
                      const std::function<LayerKind(int64_t layer)>& otherwise, DecoderConfig& c) {
  c.layer_kinds.clear();
  for (const std::string& name : f.strings("layer_types"))
    c.layer_kinds.push_back(kind_of(name, known));
  if (c.layer_kinds.empty()) set_layer_kinds(c, otherwise);
}

void write_layer_types(const DecoderConfig& c, JsonWriter& out) {
  out.key("layer_types").begin_array();
  for (const LayerKind kind : c.layer_kinds) out.value(name_of_kind(kind));
  out.end_array();
}

namespace {

// transformers 5 says the kind of every layer as well; what nibble computes must agree.
void require_kinds(const JsonFields& f, int64_t first_window, std::string_view by) {
  const std::vector<std::string> kinds = f.strings("layer_types");
  for (size_t i = 0; i < kinds.size(); ++i) {
    const std::string_view expected =
        name_of_kind(static_cast<int64_t>(i) < first_window ? LayerKind::full : LayerKind::window);
    if (kinds[i] == expected) continue;
    throw unsupported(
        fmt::format("layer {} is {}; by {} it is {}", i, in_quotes(kinds[i]), by, expected))
        .at("key \"layer_types\"");
  }
}

}  // namespace

void read_window(const JsonFields& f, int64_t otherwise, DecoderConfig& c) {
  c.sliding_window = f.contains("sliding_window") ? f.integer_or("sliding_window", 0) : otherwise;
  if (c.sliding_window > 0) set_layer_kinds(c, [](int64_t) { return LayerKind::window; });
  require_kinds(f, c.sliding_window > 0 ? 0 : c.layers, "sliding_window");
}

void read_window_pattern(const JsonFields& f, int64_t pattern, DecoderConfig& c) {
  constexpr LayerKind kKinds[] = {LayerKind::full, LayerKind::window};
  c.sliding_window = f.contains("sliding_window") ? f.integer_or("sliding_window", 0) : kWindow;
  const bool windows = c.sliding_window > 0;
  read_layer_types(
      f, kKinds,
      [&](int64_t layer) {
        return windows && (layer + 1) % pattern != 0 ? LayerKind::window : LayerKind::full;
      },
      c);
}

void read_upper_window(const JsonFields& f, DecoderConfig& c) {
  const int64_t window = f.integer_or("sliding_window", kWindow);
  int64_t first = f.integer_or("max_window_layers", kFirst);
  if (f.boolean_or("use_sliding_window", false)) c.sliding_window = window;
  first = c.sliding_window > 0 ? std::clamp<int64_t>(first, 0, c.layers) : c.layers;
  if (first < c.layers) {
    set_layer_kinds(c,
                    [first](int64_t i) { return i < first ? LayerKind::full : LayerKind::window; });
  }
  require_kinds(f, first, "sliding_window and max_window_layers");
}

void write_upper_window(const DecoderConfig& c, JsonWriter& out) {
  const auto first = std::find(c.layer_kinds.begin(), c.layer_kinds.end(), LayerKind::window);
  out.field("use_sliding_window", c.sliding_window > 0);
  if (c.sliding_window == 0) return;
  out.field("sliding_window", c.sliding_window);
  out.field("max_window_layers", c.layer_kinds.empty() ? c.layers : first - c.layer_kinds.begin());
}

}  // namespace nibble::hf
