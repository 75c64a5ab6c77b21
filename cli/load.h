// Opening a model on the command line: a folder, a file or a name, in the precision asked for.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "nibble/model/model_folder.h"

namespace nibble::cli {

struct LoadOptions {
  std::string model;
  std::string scheme;             ///< applied while loading: "int8:a8", "bf16"; empty: as stored
  std::vector<std::string> keep;  ///< tensors that stay as they are
  std::vector<std::string> also;  ///< lm_head, embeddings
};

/// The argument MODEL and --scheme (--dtype), --keep, --quantize.
void add_load(CLI::App& verb, LoadOptions& options);

/// Opens what `options` names and, where a scheme is asked for, quantizes it tensor by tensor: the
/// f32 model is never held as a whole.
ModelFolder load_model(const LoadOptions& options, const Exec& exec);

/// Says on stderr what opening a model found odd; nothing with --quiet.
void warn(const Common& common, const ModelFolder& model);

/// The first few lines on stderr, each after "nibble: warning: ", and how many more there are;
/// options are named by their flags.
void show_warnings(const Common& common, const std::vector<std::string>& warnings);

/// The option --kv: the type of the KV cache, "f32", "f16" or "int8".
void add_kv(CLI::App& verb, std::string& kv);
/// Error{invalid_argument} for another name.
DType parse_kv(const std::string& kv);

/// Adds --runs: kEnoughRuns where it is not given.
void add_runs(CLI::App& verb, int& runs);

}  // namespace nibble::cli
