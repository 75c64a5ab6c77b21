// What the numbers say, in words. Nothing is said that the measurement does not hold: a loss counts
// as measurable from two standard errors of the paired difference on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/eval/measurement.h"

namespace nibble {

/// What quantizing cost in held-out loss.
enum class Cost {
  unknown,     ///< nothing was measured, or it is not finite
  none,        ///< no more than two standard errors above the baseline
  small,       ///< measurable; perplexity rises by less than 1 %
  noticeable,  ///< by less than 5 %
  heavy,
};
Cost judge_cost(const Measurement& m);
/// One word: "none", "small".
std::string_view short_word(Cost cost);
/// The style sheet's class: "good", "fair".
std::string_view css_class(Cost cost);
/// "no measurable loss", "a loss of 3.2% in perplexity".
std::string describe_cost(const Measurement& m);

/// The short form, for lists: "no measurable loss", "+1.8% perplexity, significant".
std::string verdict(const Measurement& m);

/// The row that the page leads with: the smallest file without measurable loss; else the smallest
/// with a small one; else the one that lost least. Null where only a baseline was measured.
const Measurement* headliner(const std::vector<Measurement>& models);
/// The smallest file that still loses less than 5 % in perplexity.
const Measurement* smallest_usable(const std::vector<Measurement>& models);
/// The fastest with 8-bit codes, by the ratio to the baseline; else the fastest of all but the
/// baseline. Null where none was timed.
const Measurement* fastest_quantized(const std::vector<Measurement>& models);

/// Bits of a code by the scheme's spelling; 0 where it has none.
int code_bits(std::string_view scheme);
/// Colour (and shape) of a model on every plot and in every table: 0 where it is the baseline's
/// width, 1 for 5 to 8 bits, 2 for 4, 3 for 3, 4 for 2, 5 for the rest.
int colour_of(const Measurement& m);

}  // namespace nibble
