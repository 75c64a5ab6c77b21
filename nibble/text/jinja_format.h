// Python's two ways to put values into a text.
#pragma once

#include "nibble/text/jinja_run.h"

namespace nibble::jinja {

/// "%s: %d" % values: a tuple, a dict for %(name)s, or the one value.
Value percent_formatted(Meter& meter, const Value& format, const Value& values);

/// "{}: {name:>8}".format(...).
Value brace_formatted(Run& run, const Text& format, const Arguments& given);

}  // namespace nibble::jinja
