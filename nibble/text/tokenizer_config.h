// What stands beside a tokenizer's own file: tokenizer_config.json, and the special_tokens_map.json
// and added_tokens.json of folders written before transformers 4.34.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/bpe_tokenizer.h"

namespace nibble {

/// A special token that a file names, by its text.
struct NamedToken {
  std::string key;   ///< "bos_token", "pad_token", "additional_special_tokens", ...
  AddedToken token;  ///< without an id
  std::string file;
  bool overruled = false;  ///< by another file: it ends a text all the same where it is an EOS
};

struct TokenizerConfig {
  std::string file;  ///< tokenizer_config.json
  std::string tokenizer_class;
  /// Where a key is in two files the first one counts, and every "eos_token" ends a text.
  std::vector<NamedToken> named;
  std::optional<bool> add_bos, add_eos;
  std::optional<bool> add_prefix_space;  ///< a space before a text, whatever the habit
  bool legacy = false;                   ///< LlamaTokenizer: a space behind special tokens as well
  bool lists_added = false;  ///< `added` is of tokenizer_config.json ("added_tokens_decoder")
  std::vector<AddedToken> added;
  std::string added_file;

  const NamedToken* find(std::string_view key) const;  ///< nullptr where none is named
  /// Error{unsupported} at a key of tokenizer_config.json.
  Error not_supported(std::string_view key, std::string_view what) const;
};

/// Error{unsupported} for keys that change how texts are encoded in a way that nibble does not do.
TokenizerConfig parse_tokenizer_config(std::string_view json, std::string file = "");
/// Enters what special_tokens_map.json names: as in transformers it overrules a
/// tokenizer_config.json that does not list added tokens, and is overruled by one that does.
void parse_special_tokens_map(std::string_view json, const std::string& file,
                              TokenizerConfig& config);
/// Enters added_tokens.json, texts and their ids. Nothing where tokenizer_config.json lists them.
void parse_added_tokens(std::string_view json, const std::string& file, TokenizerConfig& config);

/// Those of the three files that a folder has.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// Enters it into the parts: added tokens, BOS, every EOS, whether they are added. Special tokens
/// that are named and in the vocabulary are found in a text as a whole. Errors name the file.
void apply_config(const TokenizerConfig& config, BpeParts& parts);

}  // namespace nibble
