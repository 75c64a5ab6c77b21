// What generated texts begin with: prompts from the command line, from files.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "nibble/jobs/generate.h"

namespace nibble::cli {

struct PromptFiles {
  std::string file, lines_file;
};

/// --prompt, --prompt-file, --prompts-file, --chat, --system and those of add_template().
void add_prompts(CLI::App& verb, PromptFiles& files, GenerateJob& job);

/// --chat-format, --template-arg, --template-date.
void add_template(CLI::App& verb, ChatChoice& choice);

/// The prompts as given, or those of the files. At least one.
std::vector<std::string> prompt_texts(const std::vector<std::string>& given,
                                      const PromptFiles& files);

}  // namespace nibble::cli
