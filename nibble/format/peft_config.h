// adapter_config.json, in which PEFT says what a LoRA adapter changes (peft/tuners/lora/config.py,
// release 0.21, read 2026-12). docs/formats/peft.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nibble/core/json.h"

namespace nibble {

/// Names of modules: each is the whole path of one or ends paths behind a dot; or one regular
/// expression (Python's) for whole paths.
struct ModuleNames {
  std::vector<std::string> list;
  std::string pattern;  ///< instead of a list; "all-linear": every Linear but the head

  bool empty() const { return list.empty() && pattern.empty(); }
  bool operator==(const ModuleNames&) const = default;
};

struct PeftConfig {
  int64_t rank = 8;
  double alpha = 8;
  double dropout = 0;            ///< told to who trains it on; not read, since it changes nothing
  bool rank_stabilized = false;  ///< the scale is alpha / sqrt(rank) instead of alpha / rank
  ModuleNames targets, excluded;
  std::vector<std::string> saved;  ///< ends of the paths of modules that are replaced as a whole
  std::vector<int64_t> layers;     ///< the only ones that targets means; empty: all
  std::vector<std::string> layer_lists;  ///< patterns of the path in front of a layer's number
  /// For modules whose path ends with a pattern; the first that fits counts.
  std::vector<std::pair<std::string, int64_t>> ranks;
  std::vector<std::pair<std::string, double>> alphas;
  std::string bias = "none";    ///< or "all", "lora_only": the file has bias vectors
  bool ties_weights = false;    ///< what replaces one of two tied weights replaces both
  bool fan_in_fan_out = false;  ///< PyTorch holds the base's matrices as [k, n] (Conv1D)
  std::string base;             ///< what the base was called

  bool operator==(const PeftConfig&) const = default;
};

/// Ranks that are read: beyond, an adapter is no smaller than what it changes.
inline constexpr int64_t kMostPeftRank = 65536;

/// Error{unsupported} names what is no LoRA, and every key that changes what is computed in a way
/// that nibble does not follow; Error{corrupt} names a key whose value cannot be.
PeftConfig read_peft_config(const JsonFields& fields);

/// The same as PEFT writes it.
std::string peft_config_text(const PeftConfig& config);

}  // namespace nibble
