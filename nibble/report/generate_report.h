// `nibble generate --json` and `nibble tokenize`.
#pragma once

#include <string>

#include "nibble/jobs/generate.h"
#include "nibble/jobs/tokenize.h"

namespace nibble {

/// The first text apart, then all of them.
std::string generate_json(const GenerateResult& result);

/// A line a token.
std::string render_terminal(const TokenizeResult& result);
std::string tokenize_json(const TokenizeResult& result);

}  // namespace nibble
