// Perplexity protocols: how a text becomes the token sequences that are scored. The same text gives
// different numbers under different protocols, so the name is printed with the number. The
// protocols of other programs are cut as those do it: from the text as the tokenizer encodes it for
// a model, BOS (and EOS) around it where it adds them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/tokenizer.h"

namespace nibble {

enum class Protocol {
  windows,    ///< consecutive windows of the text alone, no special tokens around it, none
              ///< overlapping, a last partial one dropped unless it is the only one
  hf_stride,  ///< Hugging Face's guide "Perplexity of fixed-length models": windows of the context,
              ///< moved on by half of it, only the new tokens scored
  llama_cpp,  ///< llama.cpp's perplexity: chunks of 512, the second half scored, the first token
              ///< made BOS where the model adds one
  gptq,       ///< GPTQ's: windows of 2,048 (or the context), none overlapping, partial ones dropped
};

/// "windows", "hf-stride", "llama.cpp", "gptq"; Error{invalid_argument} lists them.
Protocol parse_protocol(std::string_view name);
std::string_view to_string(Protocol protocol);
std::vector<std::string_view> protocol_names();

/// A sequence of ids of which those from first_scored on are predicted.
struct ScoredSequence {
  std::vector<int32_t> ids;
  int64_t first_scored = 1;
};

/// Cuts `ids` (the whole text, with what the protocol's program puts around it). `window` 0 takes
/// the protocol's own length, never more than `context`. Error{invalid_argument} for a window of
/// fewer than 2 tokens.
std::vector<ScoredSequence> cut_for(Protocol protocol, const std::vector<int32_t>& ids,
                                    int64_t context, int64_t window, const Tokenizer& tokenizer);

/// Every id but the first of each sequence scored.
std::vector<ScoredSequence> all_scored(const std::vector<std::vector<int32_t>>& sequences);

struct TextOptions {
  Protocol protocol = Protocol::windows;
  int64_t window = 0;       ///< tokens; 0: the protocol's own
  bool heldout = false;     ///< only what training held out: the last tenth (of the shuffled lines)
  uint64_t data_seed = 42;  ///< of the shuffle of lines
};

/// A text as a model measures it: line data (names) line by line, whatever the protocol; running
/// text cut by the protocol. Error{invalid_argument} for a window longer than the context, and for
/// llama.cpp's protocol where the tokenizer adds EOS, as llama.cpp refuses such a model.
std::vector<ScoredSequence> scored_text(std::string_view text, const Tokenizer& tokenizer,
                                        int64_t context, const TextOptions& options);

}  // namespace nibble
