// What a job generates with: the model, its chat, and the options as model and job together say
// them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/eval/generation_config.h"
#include "nibble/jobs/chat.h"
#include "nibble/jobs/generate.h"

namespace nibble {

struct Prompt;

struct GenerationSetup {
  const GenerateJob& job;
  Model folder;
  std::optional<Chat> chat;
  GenerationDefaults defaults;
  std::vector<std::string> stop = {};  ///< strings that end a text
  GenerateOptions options = {};
};

/// Opens the model; its warnings go into `result`. The options are not chosen yet.
GenerationSetup open_generation(const GenerateJob& job, const Exec& exec, const NoticeHook& tell,
                                GenerateResult& result);
/// The same of a model that is open, whose warnings have been told.
GenerationSetup begin_generation(const GenerateJob& job, Model folder, GenerateResult& result);
/// Chooses them, and says what generation_config.json had to say.
void choose_options(GenerationSetup& setup, const NoticeHook& tell, GenerateResult& result);

/// The decoder, which has packed what it needs of the model's weights.
Decoder take_decoder(GenerationSetup& setup, const Exec& exec);

/// The most tokens to write behind a prompt: what the job says, or what the context holds, at most
/// 256.
int64_t most_tokens(const GenerateJob& job, const Decoder& model, const Prompt& prompt);

}  // namespace nibble
