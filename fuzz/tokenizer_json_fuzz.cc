#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/load.h"

// A text to encode, tokenizer_config.json and the tokenizer.json. Nothing but an Error may come
// out, and what was encoded decodes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [text, config_json, json] = parts_of<3>(data, size);
  try {
    const auto config = config_json.empty() ? nibble::TokenizerConfig{}
                                            : nibble::parse_tokenizer_config(config_json);
    nibble::BpeParts parts = nibble::parse_tokenizer_json(json, config);
    nibble::apply_config(config, parts);
    const nibble::BpeTokenizer tokenizer(std::move(parts));
    (void)tokenizer.decode(tokenizer.encode(text, true));
  } catch (const nibble::Error&) {
  }
  return 0;
}
