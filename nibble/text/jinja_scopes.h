// Which names of a template begin undefined in a scope although its variables have them: Jinja2
// decides it by the text of the template, before anything runs.
#pragma once

#include "nibble/text/jinja_parser.h"

namespace nibble::jinja {

/// Fills in `unset` of the program and of every node with a scope of its own: names that the scope
/// sets before it reads them, and that no scope around it speaks of. A macro that is called before
/// they are set, or the body of the set itself, finds them undefined.
void find_unset(Program& program);

}  // namespace nibble::jinja
