// The verbs, and how the words of a command line are read: for the command, and for callers inside
// a process (python/).
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/command.h"

namespace nibble::cli {

/// Every verb with its options. `common` must outlive the app.
void add_verbs(CLI::App& app, Common& common);

/// What was typed, for reports: words that a shell would take apart are quoted.
std::string command_line(const std::vector<std::string>& words);

/// Does what the words, the program's name not among them, ask for. Error{invalid_argument} for
/// words that are no command line; CLI::CallForHelp and CLI::CallForVersion pass.
void run_words(CLI::App& app, std::vector<std::string> words);

}  // namespace nibble::cli
