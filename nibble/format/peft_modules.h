// What an adapter_config.json says of single modules (peft/tuners/tuners_utils.py:
// check_target_module_exists; utils/other.py: get_pattern_key).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/core/regex.h"
#include "nibble/format/peft_config.h"

namespace nibble {

/// A regular expression that is asked of names of modules. Errors name the key that it stands at.
class ModulePattern {
 public:
  /// As Python's fullmatch; `path` as the end of a path: "(.*\.)?(pattern)$".
  static ModulePattern whole(const std::string& pattern, std::string key);
  static ModulePattern end(const std::string& pattern, std::string key);
  /// "(?:^|.*?\.)pattern\.(\d+)\." from the beginning.
  static ModulePattern layers(const std::string& pattern, std::string key);

  /// The end of the match, which begins where the name does.
  std::optional<size_t> match(std::string_view name, RegexScratch& scratch) const;

 private:
  ModulePattern(const std::string& alone, const std::string& pattern, std::string key);
  std::string key_;
  std::string plain_;           // of end(): without anything but letters, digits, _ and dots
  std::optional<Regex> regex_;  // otherwise
};

class PeftModules {
 public:
  /// Error{corrupt} for a pattern that is none, Error{unsupported} for too many.
  explicit PeftModules(const PeftConfig& config);

  /// Whether the module at this path has A and B. Of "all-linear" every one has: which are Linear
  /// the config does not say.
  bool is_target(const std::string& path);
  /// Whether it, or one that it is a part of, is replaced.
  bool is_saved(std::string_view path) const;
  int64_t rank(std::string_view path);
  /// What B A is multiplied with.
  double scale(std::string_view path);

 private:
  bool is_named(const ModuleNames& names, const std::optional<ModulePattern>& pattern,
                const std::string& path);
  bool is_in_layers(std::string_view path);

  const PeftConfig config_;
  RegexScratch scratch_;
  std::optional<ModulePattern> targets_, excluded_;
  std::vector<ModulePattern> layer_lists_, ranks_, alphas_;
};

}  // namespace nibble
