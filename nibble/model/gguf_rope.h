// Rotary positions in GGUF: keys of the metadata, and a tensor of divisors.
#pragma once

#include <cstdint>
#include <string_view>

#include "nibble/core/json.h"
#include "nibble/format/gguf_file.h"
#include "nibble/model/gguf_keys.h"

namespace nibble {

/// What each frequency is divided by, where Llama 3 stretches its context.
inline constexpr std::string_view kGgufDivisors = "rope_freqs.weight";

/// Writes them as config.json has them (rope_theta, rope_scaling). Errors name the key or the
/// tensor, whose data need not be there.
void write_gguf_rope(const GgufFile& file, const GgufKeys& keys, int64_t head_dim, JsonWriter& out);
/// The key of the metadata that says what this one of config.json does; empty where none does.
std::string_view gguf_rope_key(std::string_view config_key);
/// True for a key that write_gguf_rope() reads, or that changes nothing.
bool is_gguf_rope_key(std::string_view key);

}  // namespace nibble
