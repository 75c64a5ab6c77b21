// A tokenizer as the files of a Hugging Face folder (tokenizers 0.23 and transformers 5.24, whose
// readers were run on them; what a section means: sections.h). The way back: load.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/text/bpe_tokenizer.h"

namespace nibble {

/// tokenizer.json, of the same ids for all texts. `warnings` gets a line for what cannot be said
/// there and matters in rare texts only. Error{unsupported} naming what cannot be said otherwise.
std::string tokenizer_json(const BpeParts& parts, std::vector<std::string>& warnings);

/// What tokenizer_config.json has beside the tokenizer.
struct TokenizerSettings {
  std::optional<int32_t> padding;
  std::optional<std::string> chat_template;
  std::optional<int64_t> context;  ///< tokens that the model reads
};
/// tokenizer_config.json: special tokens by their names, what is put around a text, the template.
std::string tokenizer_config_json(const BpeParts& parts, const TokenizerSettings& settings);

}  // namespace nibble
