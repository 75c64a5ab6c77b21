// Session: a place to run a decoder in. It holds the memory that passes work in; what a model has
// read of a text is in a KvCache, which any session of the same decoder can go on with.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/model/decoder.h"
#include "nibble/nn/workspace.h"

namespace nibble {

/// For one pass at a time; the decoder, which must outlive it, may serve any number of sessions at
/// once.
class Session {
 public:
  explicit Session(const Decoder& decoder) : decoder_(&decoder) {}
  const Decoder& decoder() const { return *decoder_; }

  /// Runs all items together, some of them prompts, others a single token, and appends their tokens
  /// to their caches. Returns the logits that are wanted, [rows, vocab_size], item behind item,
  /// valid until the session runs again. A sequence's are those that it gets alone, to the bit
  /// where no more than 16 rows are run or its products are integer ones. Error{invalid_argument}
  /// for an id outside the vocabulary, more tokens than a cache or the context hold (both lengths
  /// are named), or two items with one cache; Error{corrupt} naming the first position whose logits
  /// are not finite, or where keys or values do not fit a cache in f16. All caches are then as they
  /// were.
  std::span<const float> run(std::span<const Decoder::Item> batch, const Exec& exec) {
    return decoder_->run(batch, workspace_, exec);
  }
  /// The same for one sequence.
  std::span<const float> run(std::span<const int32_t> ids, KvCache& cache, Decoder::Logits wanted,
                             const Exec& exec) {
    const Decoder::Item item{ids, &cache, wanted};
    return run({&item, 1}, exec);
  }

 private:
  const Decoder* decoder_;
  Workspace workspace_;
};

}  // namespace nibble
