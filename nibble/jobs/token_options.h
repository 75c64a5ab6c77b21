// Options of a generation that speak of tokens, by a model's own: logit biases, what breaks
// repetitions, log probabilities.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/eval/generation.h"
#include "nibble/jobs/generate.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

/// GenerateJob::logit_bias. `rows` is the model's vocabulary. Error{invalid_argument} naming the
/// first that is no bias: an id without a row, a text that is not one token, a value that is none.
std::vector<LogitBias> read_biases(const std::vector<std::string>& biases,
                                   const Tokenizer& tokenizer, int64_t rows);

/// The tokens that have one of `texts` in them, or begin it; a null pointer where texts are none
/// but "none".
std::shared_ptr<const DryBreakers> breakers_of(const std::vector<std::string>& texts,
                                               const Tokenizer& tokenizer);

/// With the tokens' texts.
std::vector<TokenLogprobs> spelled(const std::vector<ChosenChance>& chances,
                                   const Tokenizer& tokenizer);

}  // namespace nibble
