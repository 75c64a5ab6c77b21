// Whether two tokenizers are one, tried on a text in many scripts.
#pragma once

#include <string>

#include "nibble/text/tokenizer.h"

namespace nibble {

/// The first line of the text, in quotes, of which `a` and `b` make other ids, edges included;
/// empty where there is none.
std::string line_of_other_ids(const Tokenizer& a, const Tokenizer& b);

}  // namespace nibble
