// What the families with Mamba2 layers share in config.json and in tensor names.
#pragma once

#include <string_view>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

/// Names of Mamba2 layers, behind "mamba." or "mixer.".
inline constexpr NameRow kMambaNames[] = {
    {Role::delta_decay, "mamba.A_log", true}, {Role::delta_decay_bias, "mamba.dt_bias", true},
    {Role::mamba_skip, "mamba.D", true},      {Role::conv, "mamba.conv1d"},
    {Role::mamba_in, "mamba.in_proj"},        {Role::mamba_norm, "mamba.norm"},
    {Role::mamba_out, "mamba.out_proj"}};

/// mamba_n_heads and its like, of a layer `width` wide inside; without norm, bounds and scales.
void read_mamba(const JsonFields& fields, int64_t width, DecoderConfig& config);
/// The same under Nemotron's names (mamba_num_heads), which say the width.
void read_nemotron_mamba(const JsonFields& fields, DecoderConfig& config);
void write_mamba(const DecoderConfig& config, JsonWriter& out);

/// time_step_limit: bounds of time steps; the upper one may be infinite.
void read_step_bounds(const JsonFields& fields, DecoderConfig& config);
void write_step_bounds(const DecoderConfig& config, JsonWriter& out);

/// Kinds of layers by their names in `names`, under older ones, too ("mamba", "attention");
/// Error{unsupported} names `key` for others than attention and Mamba2.
void read_mamba_kinds(const std::vector<std::string>& names, std::string_view key,
                      DecoderConfig& config);

}  // namespace nibble::hf
