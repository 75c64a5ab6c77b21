// What verbs that open models share: their options, and the warnings that come of it.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/jobs/notice.h"

namespace nibble::cli {

/// The argument MODEL and --scheme (--dtype), --keep, --quantize, --activations, --adapter.
void add_load(CLI::App& verb, ModelChoice& options);

/// The option --adapter, of what is run and of what is written.
void add_adapters(CLI::App& verb, std::vector<std::string>& adapters);
void add_merged_adapters(CLI::App& verb, std::vector<std::string>& adapters);

/// The first few lines on stderr, each after "nibble: warning: ", and how many more there are;
/// options are named by their flags.
void show_warnings(const Common& common, const std::vector<std::string>& warnings);

/// Says what a job has to say on stderr; nothing with --quiet. `common` must outlive it.
/// `own_text`: the line where no text was given, {} being what stands in for it.
NoticeHook tell(const Common& common, std::string own_text = "");

/// The option --kv: the type of the KV cache, "f32", "f16" or "int8".
void add_kv(CLI::App& verb, std::string& kv);

/// Adds --runs: kEnoughRuns where it is not given.
void add_runs(CLI::App& verb, int& runs);

}  // namespace nibble::cli
