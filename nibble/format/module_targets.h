// Which modules the lists `targets` and `ignore` of a quantization_config mean
// (compressed_tensors/utils/match.py, read 2026-11).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "nibble/core/regex.h"

namespace nibble {

/// A matrix of the model as other tools know it: its module's name, "model.layers.0.mlp.up_proj",
/// and the class of it in PyTorch or transformers.
struct MatrixModule {
  std::string name;
  std::string_view kind;  ///< "Linear", "Embedding" or "Conv1D"
};

/// Entries with a number each: a module's name, a class, or "re:PATTERN", which must match from the
/// name's beginning (re.match). Regular expressions are Python's as far as core/regex.h reads them.
class ModuleTargets {
 public:
  explicit ModuleTargets(std::span<const MatrixModule> modules);

  /// `key` is where the entry stands, for errors: a pattern that is none, too many of them (so that
  /// no config can make opening a model slow), an entry that an earlier one gave another number.
  void add(const std::string& entry, size_t number, const std::string& key);
  /// add(), and Error{corrupt} where the entry names neither a class nor a matrix of the model.
  void add_target(const std::string& entry, size_t number, const std::string& key);

  /// The number of the entry that says most of this module: its name before patterns, these in
  /// alphabetical order, its class last. Nothing where no entry means it.
  std::optional<size_t> find(const MatrixModule& module);

 private:
  struct Pattern {
    Regex regex;
    size_t number;
    std::string key;
  };
  void add_pattern(const std::string& entry, size_t number, const std::string& key);
  bool matches(const Pattern& pattern, const std::string& name);

  size_t modules_;
  std::set<std::string_view> names_;
  std::map<std::string, size_t, std::less<>> plain_;  // names and classes
  std::map<std::string, Pattern> patterns_;
  RegexScratch scratch_;
};

}  // namespace nibble
