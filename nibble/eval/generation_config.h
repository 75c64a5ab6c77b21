// What a model folder says of generating text: generation_config.json (transformers'
// GenerationConfig) and the token ids of config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/model.h"
#include "nibble/nn/sampling.h"

namespace nibble {

struct GenerationDefaults {
  bool do_sample = false;  ///< else temperature, top-k, top-p, min-p and typical-p do not count
  std::optional<double> temperature, top_p, min_p, typical_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<int32_t> bos;             ///< what an empty prompt begins with
  std::vector<int32_t> ends;              ///< every id of "eos_token_id"
  std::vector<std::string> stop_strings;  ///< what ends a text as well
  std::vector<std::string> warnings;      ///< settings that nibble does not do, a line each
};

/// generation_config.json. Error{corrupt} with the key where a value is none that it may be.
GenerationDefaults parse_generation_config(std::string_view json);

/// What both files of the model's folder say together: BOS is the first one's that names it, every
/// end counts. Ids that the model has no row for are warned of and left out. Errors name the file.
GenerationDefaults read_generation_defaults(const Model& model);

/// Enters what the defaults say into `sampling`, but for the options named in `given` ("top_p", as
/// the file spells them). Returns the names of what changed something.
std::vector<std::string> take_defaults(const GenerationDefaults& defaults,
                                       const std::set<std::string>& given,
                                       SamplingOptions& sampling);

/// The tokens that end a text of this model: those that its tokenizer's files,
/// generation_config.json or config.json name, each once.
std::vector<int32_t> text_ends(const Model& model, const GenerationDefaults& defaults);

}  // namespace nibble
