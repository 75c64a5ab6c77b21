// From the words of a chat template to its tree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/jinja_tree.h"

namespace nibble::jinja {

struct Program {
  std::vector<NodePtr> body;
  int64_t texts = 0;               ///< literals: nodes of kind text are numbered below it
  std::vector<std::string> unset;  ///< as a node has it
};

/// Error{corrupt} naming the line. Nothing is nested deeper than 60 levels, so that a tree can be
/// walked and freed by recursion.
Program parse_program(std::string_view source);

}  // namespace nibble::jinja
