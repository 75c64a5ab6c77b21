#include "nibble/format/module_targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr std::string_view kPattern = "re:";
constexpr std::array<std::string_view, 3> kKinds = {"Linear", "Embedding", "Conv1D"};
constexpr size_t kLongestName = 4096;
// Patterns, and patterns times modules.
constexpr size_t kMostPatterns = 1024, kMostMatches = size_t{1} << 16;

std::string at_targets_key(const std::string& key) { return "key " + in_quotes(key); }

bool is_kind(std::string_view entry) {
  return std::find(kKinds.begin(), kKinds.end(), entry) != kKinds.end();
}

}  // namespace

ModuleTargets::ModuleTargets(std::span<const MatrixModule> modules)
    : modules_(modules.size()), scratch_(kLongestName) {
  for (const MatrixModule& m : modules) names_.insert(m.name);
}

void ModuleTargets::add(const std::string& entry, size_t number, const std::string& key) {
  if (entry.starts_with(kPattern)) return add_pattern(entry, number, key);
  const auto [at, fresh] = plain_.emplace(entry, number);
  if (!fresh && at->second != number)
    throw corrupt(fmt::format("{} is a target of two groups", in_quotes(entry)))
        .at(at_targets_key(key));
}

void ModuleTargets::add_target(const std::string& entry, size_t number, const std::string& key) {
  if (!entry.starts_with(kPattern) && !is_kind(entry) && !names_.contains(entry)) {
    throw corrupt(fmt::format("{} is no matrix of this model; expected the name of one, Linear, "
                              "Embedding or re:PATTERN",
                              in_quotes(entry)))
        .at(at_targets_key(key));
  }
  add(entry, number, key);
}

void ModuleTargets::add_pattern(const std::string& entry, size_t number, const std::string& key) {
  try {
    const std::string pattern = entry.substr(kPattern.size());
    const Regex alone(pattern);  // it must be one by itself
    // \A, so that a name that does not match is not searched for a later beginning.
    Regex regex("\\A(?:" + pattern + ")");
    const auto [at, fresh] = patterns_.emplace(entry, Pattern{std::move(regex), number, key});
    if (!fresh && at->second.number != number)
      throw corrupt(fmt::format("{} is a target of two groups", in_quotes(entry)));
    if (patterns_.size() > kMostPatterns || patterns_.size() * modules_ > kMostMatches) {
      throw unsupported(fmt::format("{} patterns for {} matrices are too many: name the modules",
                                    patterns_.size(), modules_));
    }
  } catch (Error& e) {
    throw std::move(e).at(at_targets_key(key));
  }
}

bool ModuleTargets::matches(const Pattern& pattern, const std::string& name) {
  try {
    if (name.size() > kLongestName) throw unsupported("the name of a module is too long");
    scratch_.allow(name.size());
    return pattern.regex.search(name, 0, scratch_).has_value();
  } catch (Error& e) {
    throw std::move(e).at(at_targets_key(pattern.key));
  }
}

std::optional<size_t> ModuleTargets::find(const MatrixModule& module) {
  if (const auto named = plain_.find(module.name); named != plain_.end()) return named->second;
  for (const auto& [text, pattern] : patterns_) {
    if (matches(pattern, module.name)) return pattern.number;
  }
  if (const auto kind = plain_.find(module.kind); kind != plain_.end()) return kind->second;
  return std::nullopt;
}

}  // namespace nibble
