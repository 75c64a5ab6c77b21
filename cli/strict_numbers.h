// Numbers and flags on the command line, read to the letter: CLI11 takes an empty word for 0, wraps
// what is too large or negative, and lets --flag=5 pass.
#pragma once

#include <CLI/CLI.hpp>

namespace nibble::cli {

/// Adds to every option of every verb that holds a number, and to every flag, a check that the word
/// is one: nothing but a decimal number in the option's range.
void read_numbers_strictly(CLI::App& app);

}  // namespace nibble::cli
