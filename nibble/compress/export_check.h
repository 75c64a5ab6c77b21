// What was written, read back before it gets its name: by nibble's own reader, weight by weight.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "nibble/core/exec.h"
#include "nibble/model/model.h"

namespace nibble {

/// Remembers what goes into an output, a hash a weight, and looks whether the same comes out.
class ExportCheck {
 public:
  void note(std::string_view name, const Weight& weight, int threads);
  /// Error{io} naming the first weight that `written` does not give back with the values (and, of
  /// inputs, the scales) that were noted. Reads everything once; tells of it, and can be stopped.
  void require_same(const Model& written, const Exec& exec) const;

 private:
  std::map<std::string, std::string, std::less<>> hashes_;
};

/// What a written model's logits were found to be beside those of the model it was made of.
struct Verified {
  int64_t tokens = 0;  ///< of text that the original wrote itself
  double kl_mean = 0, top1_agreement = 1;
};
/// Runs both on the same text. Error{corrupt} naming `written` where a logit is not finite;
/// Error{unsupported} for an MLP, Error{not_found} for a model without a tokenizer.
Verified verify_logits(const Model& original, const Model& written, const Exec& exec);

/// A line for people where `written` makes other ids of a text in many scripts than `original`
/// does; empty where it does not, or one of them has no tokenizer.
std::string tokenizer_difference(const Model& original, const Model& written);

}  // namespace nibble
