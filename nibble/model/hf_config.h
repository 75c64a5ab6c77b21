// Reading and writing the config.json keys that Hugging Face architectures share, in both
// spellings: the older one (rope_theta, rope_scaling) and that of transformers 5 (rope_parameters).
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "nibble/core/json.h"
#include "nibble/model/architecture.h"

namespace nibble::hf {

/// A name table's row: the stored name of a role, without ".weight" or ".bias"; "{}" stands for the
/// number of an expert.
struct NameRow {
  Role role;
  std::string_view name;
  bool bare = false;  ///< nothing stands behind it
};
/// "OUTSIDE.weight", or "LAYERS.LAYER.INSIDE.weight" for layer >= 0.
std::string tensor_name(std::span<const NameRow> names, std::string_view layers,
                        const ParamKey& key);

bool has_row(std::span<const NameRow> names, Role role);
/// The same where `own` has the role, else as Llama names it.
std::string tensor_name_or_llama(std::span<const NameRow> own, const ParamKey& key);

/// How an error names a key of config.json.
std::string at_key(std::string_view key);

/// A whole number from 1 to 2^31; Error{corrupt} names the key.
int64_t size(const JsonFields& fields, std::string_view key);

/// A finite number above 0, by default `otherwise`; Error{corrupt} names the key.
double positive_or(const JsonFields& fields, std::string_view key, double otherwise);
/// The same of a key that must be there.
double positive(const JsonFields& fields, std::string_view key);

/// Throws Error{unsupported} where a switch is not as the architecture is known to be run. An
/// absent key is as expected.
void require_flag(const JsonFields& fields, std::string_view key, bool expected);

/// The same of a key whose value is a text.
void require_text(const JsonFields& fields, std::string_view key, std::string_view expected);

/// The MlpKind of an activation's name, plain or behind a gate; Error{unsupported} lists the known
/// ones.
MlpKind activation(const JsonFields& fields, std::string_view key, std::string_view otherwise,
                   bool gated = false);
std::string_view activation_name(MlpKind mlp);

/// hidden_size / heads; Error{corrupt} names `key` where it does not divide.
int64_t divide_heads(int64_t hidden_size, int64_t heads, std::string_view key);

/// What of rotary positions only some architectures have.
struct RopeReading {
  bool parts = false;       ///< partial_rotary_factor may be below 1 ...
  double part = 1;          ///< ... and is this where it is absent
  bool neighbours = false;  ///< RopeConfig::neighbours
  /// head_dim says what a head has; else the caller finds that out.
  bool of_own_heads = true;
  /// The kind of layers whose object in rope_parameters is read, where it has one for each.
  std::string_view layers = {};
};
/// rope_parameters, or rope_theta and rope_scaling. Error{unsupported} names a kind of scaling that
/// nibble does not know.
RopeConfig read_rope(const JsonFields& fields, double default_theta, int64_t context,
                     const RopeReading& how = {});
/// As rope_parameters of transformers 5: with numbers that only some architectures have, or for
/// full and window layers apart.
void write_rope_parameters(const RopeConfig& rope,
                           std::initializer_list<std::pair<std::string_view, double>> more,
                           JsonWriter& out);
void write_rope_parameters(const DecoderConfig& config, JsonWriter& out);
/// In the older spelling, which every version of transformers reads.
void write_rope(const RopeConfig& rope, JsonWriter& out);

/// What Llama and its descendants share: RMSNorm, rotary positions, grouped queries, SwiGLU. The
/// caller sets biases, windows and norms of its own.
DecoderConfig read_llama_like(const JsonFields& fields, std::string_view model_type,
                              double default_theta = 10000, const RopeReading& rope = {},
                              std::string_view width_key = "intermediate_size");
/// Without rotary positions where the caller writes them.
void write_llama_like(const DecoderConfig& config, JsonWriter& out, bool rope = true);
std::string llama_tensor_name(const ParamKey& key);
/// What GGUF files say of them all.
std::span<const GgufKey> llama_gguf_keys();

/// embedding_multiplier, attention_multiplier, residual_multiplier and logits_scaling (Granite).
void read_granite_scales(const JsonFields& fields, DecoderConfig& config);
void write_granite_scales(const DecoderConfig& config, JsonWriter& out);

/// Every layer sees the window, or none does.
bool has_one_window(const DecoderConfig& config);
void set_layer_kinds(DecoderConfig& config, const std::function<LayerKind(int64_t layer)>& kind);
/// layer_types; where it is absent `otherwise` of each layer. Error{unsupported} for a kind that is
/// not one of `known`.
void read_layer_types(const JsonFields& fields, std::span<const LayerKind> known,
                      const std::function<LayerKind(int64_t layer)>& otherwise,
                      DecoderConfig& config);
void write_layer_types(const DecoderConfig& config, JsonWriter& out);

/// sliding_window of every layer (Mistral); null is none. Error{unsupported} where layer_types says
/// otherwise.
void read_window(const JsonFields& fields, int64_t otherwise, DecoderConfig& config);

/// sliding_window, and layer_types: full and window layers, by default every `pattern`-th full.
void read_window_pattern(const JsonFields& fields, int64_t pattern, DecoderConfig& config);

/// Norms of LayerNorm with what stands in files of GPT-NeoX's descendants.
void set_layer_norm(const JsonFields& fields, std::string_view eps_key, bool bias,
                    DecoderConfig& config);

/// use_sliding_window, sliding_window and max_window_layers (Qwen): the layers from
/// max_window_layers on see the window. Error{unsupported} where layer_types says otherwise.
void read_upper_window(const JsonFields& fields, DecoderConfig& config);
void write_upper_window(const DecoderConfig& config, JsonWriter& out);

}  // namespace nibble::hf
