#include "nibble/model/adapter_names.h"

#include "nibble/core/error.h"
#include "nibble/model/architecture.h"

namespace nibble {
namespace {

constexpr std::string_view kHeadWeight = "lm_head.weight";

std::vector<ParamSpec> table_of(DecoderConfig config, bool apart) {
  config.tied = config.tied && !apart;
  return parameter_table(config);
}

}  // namespace

AdapterNames::AdapterNames(const DecoderConfig& config, bool apart)
    : apart_(apart && config.tied),
      prefix_(architecture(config.architecture).prefix),
      file_prefix_(config.name_prefix),
      table_(table_of(config, apart)) {
  for (size_t i = 0; i < table_.size(); ++i) {
    const std::string& name = table_[i].name;
    rows_.emplace(name, i);
    if (table_[i].role == Role::lm_head) continue;
    const std::string bare = name.substr(config.name_prefix.size());
    rows_.emplace(bare, i);
    rows_.emplace(prefix_ + bare, i);
  }
  if (config.tied && !apart) rows_.emplace(kHeadWeight, rows_.at(embedding().name));
}

const ParamSpec* AdapterNames::find(std::string_view name) const {
  const auto found = rows_.find(name);
  return found == rows_.end() ? nullptr : &table_[found->second];
}

std::string AdapterNames::module_of(const ParamSpec& spec) const {
  constexpr std::string_view kEnd = ".weight";
  NIBBLE_CHECK(spec.name.ends_with(kEnd));
  std::string stored = spec.name.substr(0, spec.name.size() - kEnd.size());
  if (spec.role == Role::lm_head) return stored;
  return prefix_ + stored.substr(file_prefix_.size());
}

const ParamSpec& AdapterNames::of_role(Role role) const {
  const ParamSpec* row = find_parameter(table_, {role});
  NIBBLE_CHECK(row != nullptr);
  return *row;
}

const ParamSpec& AdapterNames::head() const { return of_role(Role::lm_head); }
const ParamSpec& AdapterNames::embedding() const { return of_role(Role::token_embedding); }

}  // namespace nibble
