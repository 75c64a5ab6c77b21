// tokenizer_config.json's "add_prefix_space" against what tokenizer.json itself says.
#pragma once

#include "nibble/text/json_tree.h"
#include "nibble/text/tokenizer_config.h"

namespace nibble {

/// Changes the sections of a tokenizer.json so that a space is put before a text, or is not, where
/// the config says so: ByteLevel's flag, Metaspace's scheme, Prepend steps and what a decoder takes
/// off again. Error{unsupported} naming the key where nothing in the file can put one, or where the
/// file puts a SentencePiece mark otherwise and the tokenizer is not one of Llama's, whose class
/// alone heeds the flag then.
void set_prefix_space(const TokenizerConfig& config, JsonNode& root);

}  // namespace nibble
