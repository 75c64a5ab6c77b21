// Merges as scores of tokens, which is how GGUF files keep them of SentencePiece's tokenizers.
#pragma once

#include <optional>
#include <vector>

#include "nibble/text/bpe_tokenizer.h"

namespace nibble {

/// Scores, by id, of which merges_from_scores() makes the merges of `parts`, in the same order; a
/// token's is the negated rank of the first merge that makes it. Nothing where no scores do: where
/// merges of two tokens take turns, or tokens are parts of others and yet not merged to them.
/// `types` by id. What only tokens that are found in texts as a whole come of does not count.
std::optional<std::vector<float>> scores_from_merges(const BpeParts& parts,
                                                     const std::vector<int32_t>& types);

}  // namespace nibble
