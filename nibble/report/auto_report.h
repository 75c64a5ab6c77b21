// `nibble auto`: what was chosen, what it costs, and what other budgets would.
#pragma once

#include <string>

#include "nibble/compress/auto_bits.h"

namespace nibble {

std::string auto_terminal(const AutoResult& result);
/// schema_version, choice, frontier, and every matrix with its costs.
std::string auto_json(const AutoResult& result);
/// One self-contained page with the frontier as a plot.
std::string auto_html(const AutoResult& result, const std::string& model);

}  // namespace nibble
