// The sections of tokenizer.json beside its model. Whatever they ask for that is not known is
// refused by name: Error{unsupported} at the key.
#pragma once

#include "nibble/text/bpe_tokenizer.h"
#include "nibble/text/json_tree.h"

namespace nibble {

void read_added_token(const JsonNode& node, BpeParts& parts);
void read_normalizer(const JsonNode& node, BpeParts& parts);
void read_pre_tokenizer(const JsonNode& node, BpeParts& parts);
/// Only what it adds to a single text.
void read_post_processor(const JsonNode& node, BpeParts& parts);
void read_decoder(const JsonNode& node, PieceDecoder& decoder);

}  // namespace nibble
