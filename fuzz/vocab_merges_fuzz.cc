#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/load.h"

// A text to encode, tokenizer_config.json, special_tokens_map.json, added_tokens.json, vocab.json
// and merges.txt; of the first four any may be empty. Nothing but an Error may come out, and what
// was encoded decodes, token by token as well.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [text, config_json, special, added, vocab, merges] = parts_of<6>(data, size);
  try {
    nibble::TokenizerConfig config;
    if (!config_json.empty()) config = nibble::parse_tokenizer_config(config_json, "config");
    if (!special.empty()) nibble::parse_special_tokens_map(special, "special", config);
    if (!added.empty()) nibble::parse_added_tokens(added, "added", config);
    nibble::BpeParts parts = nibble::parse_merges(nibble::parse_vocab(vocab), merges, config);
    nibble::apply_config(config, parts);
    const nibble::BpeTokenizer tokenizer(std::move(parts));
    const auto ids = tokenizer.encode(text, true);
    nibble::StreamDecoder stream(tokenizer, false);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.push(id);
    if (streamed + stream.finish() != tokenizer.decode(ids)) __builtin_trap();
  } catch (const nibble::Error&) {
  }
  return 0;
}
