// A text that a job trains or measures on.
#pragma once

#include <string>
#include <vector>

#include "nibble/eval/protocol.h"
#include "nibble/model/model.h"

namespace nibble {

struct Text {
  std::string name;  ///< for messages and reports: its path, "built-in names"
  std::string text;
};

/// The names that nibble brings along.
Text names_text();

/// As the model measures it (scored_text()). Errors name the text; Error{corrupt} where it is too
/// short to predict anything.
std::vector<ScoredSequence> cut_text(const Text& text, const Model& model,
                                     const TextOptions& options);

/// "book.txt, the held-out tenth, protocol windows".
std::string describe_text(const Text& text, const TextOptions& options);

}  // namespace nibble
