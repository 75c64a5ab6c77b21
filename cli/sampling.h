// How the next token is chosen: the flags, and what a model's generation_config.json says where
// none does.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cli/command.h"
#include "nibble/core/json.h"
#include "nibble/eval/generation_config.h"

namespace nibble::cli {

struct SamplingFlags {
  SamplingOptions sampling;
  const CLI::App* verb = nullptr;
};

/// --temperature, --top-k, --top-p, --min-p, --repetition-penalty.
void add_sampling(CLI::App& verb, SamplingFlags& flags);

/// What the flags say, and of `defaults` what they leave open.
struct Sampling {
  SamplingOptions options;
  std::vector<std::string> taken;  ///< of generation_config.json, as it spells them
};
Sampling sampling_of(const SamplingFlags& flags, const GenerationDefaults& defaults);

/// A warning for each flag that was given and that the temperature leaves without effect.
std::vector<std::string> unread_flags(const SamplingFlags& flags, const SamplingOptions& chosen);

/// Says on stderr what generation_config.json changed; nothing with --quiet.
void say_taken(const Common& common, const Sampling& sampling);
/// The fields "sampling" and "from_generation_config".
void write_sampling(const Sampling& sampling, JsonWriter& out);

}  // namespace nibble::cli
