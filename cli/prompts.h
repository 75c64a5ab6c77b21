// What generated texts begin with: prompts from the command line, from files, as turns of a chat.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "nibble/model/model_folder.h"
#include "nibble/text/chat_template.h"

namespace nibble::cli {

struct PromptOptions {
  std::vector<std::string> prompts;
  std::string file, lines_file;
  bool chat = false;
  std::string system, chat_format;
};

/// --prompt, --prompt-file, --prompts-file, --chat, --system, --chat-format.
void add_prompts(CLI::App& verb, PromptOptions& options);

struct Prompt {
  std::string shown;  ///< printed before what is generated: the prompt; nothing for a chat
  std::string text;   ///< what the model reads, special tokens as their text
  std::vector<int32_t> ids;
};

/// The prompts' texts: as given, or those of the files. At least one.
std::vector<std::string> prompt_texts(const PromptOptions& options);
/// The chat format that is asked for; nullptr without --chat. Error where the model's template is
/// missing or not known.
const ChatFormat* chat_format_of(const PromptOptions& options, const ModelFolder& model);
/// One prompt as the model reads it; `bos` where no token comes of it. Error{invalid_argument}
/// where there is none either.
Prompt encode_prompt(const std::string& text, const PromptOptions& options,
                     const ChatFormat* format, const Tokenizer& tokenizer,
                     std::optional<int32_t> bos);

}  // namespace nibble::cli
