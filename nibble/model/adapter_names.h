// The parameters of a decoder by the names that adapters call them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/config.h"

namespace nibble {

/// Transformers' names, which begin with the architecture's prefix whether the base's file has it
/// or not; those of a model without its head, which have none, as well.
class AdapterNames {
 public:
  /// `apart`: a head that is the token embedding has a row of its own.
  AdapterNames(const DecoderConfig& config, bool apart);

  /// Null for a name that is none. A tied head is the embedding.
  const ParamSpec* find(std::string_view name) const;
  /// The path that transformers gives the module of a weight: a name without its ".weight".
  std::string module_of(const ParamSpec& spec) const;
  const std::vector<ParamSpec>& table() const { return table_; }
  bool apart() const { return apart_; }
  const ParamSpec& head() const;
  const ParamSpec& embedding() const;

 private:
  const ParamSpec& of_role(Role role) const;
  bool apart_;
  std::string prefix_, file_prefix_;  // of transformers, and of the base's names
  std::vector<ParamSpec> table_;
  std::map<std::string, size_t, std::less<>> rows_;
};

}  // namespace nibble
