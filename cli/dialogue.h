// nibble generate --chat without a prompt: a dialogue on the terminal, or with lines from a pipe.
#pragma once

#include "cli/command.h"
#include "nibble/jobs/generate.h"

namespace nibble::cli {

/// A line of standard input is a user's turn; its end ends the dialogue. Error{corrupt} where there
/// was none, but for somebody at a terminal, who need not say anything.
void run_dialogue(const Common& common, const GenerateJob& job);

}  // namespace nibble::cli
