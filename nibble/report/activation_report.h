// `nibble inspect --activations`: which inputs have outliers, where they live, what each remedy
// does.
#pragma once

#include <string>

#include "nibble/compress/activation_study.h"

namespace nibble {

std::string activation_terminal(const ActivationStudy& study);
/// schema_version, limits, and for every input its outliers and its error after each remedy.
std::string activation_json(const ActivationStudy& study);
/// One self-contained page: plots and tables.
std::string activation_html(const ActivationStudy& study, const std::string& model);

}  // namespace nibble
