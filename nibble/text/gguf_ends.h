// Tokens that end a text by how they are spelled: few GGUF files list them.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/text/token_table.h"

namespace nibble {

/// The ids of the tokens that llama.cpp takes for the end of an answer by their text ("<|im_end|>",
/// "<|eot_id|>", "</s>", ...; src/llama-vocab.cpp), in the order of its list.
std::vector<int32_t> gguf_ends_by_text(const TokenTable& tokens);

}  // namespace nibble
