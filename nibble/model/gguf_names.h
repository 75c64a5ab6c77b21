// The names that GGUF files give to parameters (gguf-py, constants.py).
#pragma once

#include <string>

#include "nibble/format/gguf_file.h"
#include "nibble/model/architecture.h"
#include "nibble/model/parameter.h"

namespace nibble {

/// "blk.0.attn_q.weight". Experts of a layer share one: theirs are the rows of a stack.
std::string gguf_name(const ParamKey& key);
/// "blk.0.attn_q.scale": what every value of that weight is multiplied with beside the scales of
/// its blocks, where a file has it (NVFP4); of stacked experts a number each.
std::string gguf_scale_name(const ParamKey& key);
/// "blk.0.attn_q.input_scale": of its inputs, for those who quantize them.
std::string gguf_input_scale_name(const ParamKey& key);
/// Which rows of that tensor a parameter is, and in which order they stand.
GgufRows gguf_rows(const ParamSpec& spec, const GgufArchitecture& architecture, int64_t head_dim);

}  // namespace nibble
