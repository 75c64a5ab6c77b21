#include "nibble/format/peft_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace nibble {
namespace {

constexpr std::string_view kAllLinear = "all-linear";
constexpr size_t kLongestPath = 4096;
constexpr size_t kMostModulePatterns = 4096;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// What no regular expression is needed for: in one of these a dot is the only sign.
bool is_plain_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
  });
}

bool fits_dots(std::string_view pattern, std::string_view text) {
  return std::equal(pattern.begin(), pattern.end(), text.begin(), text.end(),
                    [](char p, char t) { return p == '.' || p == t; });
}

bool ends_path(std::string_view name, std::string_view path) {
  if (name == path) return true;
  return path.ends_with(name) && path[path.size() - name.size() - 1] == '.';
}

// The number of a layer: the first that stands alone between dots behind two names.
std::optional<int64_t> first_number(std::string_view path) {
  size_t begin = 0;
  for (int segment = 0;; ++segment) {
    const size_t end = path.find('.', begin);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view text = path.substr(begin, end - begin);
    int64_t number = 0;
    const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (segment >= 2 && error == std::errc() && last == text.data() + text.size() &&
        is_digit(text.front()))
      return number;
    begin = end + 1;
  }
}

}  // namespace

ModulePattern::ModulePattern(const std::string& alone, const std::string& pattern, std::string key)
    : key_(std::move(key)) {
  try {
    (void)Regex(alone);  // it must be one by itself
    regex_.emplace(pattern);
  } catch (Error& e) {
    throw std::move(e).at("key " + in_quotes(key_));
  }
}

ModulePattern ModulePattern::whole(const std::string& pattern, std::string key) {
  return {pattern, "\\A(?:" + pattern + ")\\z", std::move(key)};
}

ModulePattern ModulePattern::end(const std::string& pattern, std::string key) {
  if (!is_plain_name(pattern))
    return {pattern, "\\A(?:.*\\.)?(?:" + pattern + ")\\z", std::move(key)};
  ModulePattern out("x", "x", std::move(key));
  out.regex_.reset();
  out.plain_ = pattern;
  return out;
}

ModulePattern ModulePattern::layers(const std::string& pattern, std::string key) {
  return {pattern, "\\A(?:|.*?\\.)(?:" + pattern + ")\\.[0-9]+\\.", std::move(key)};
}

std::optional<size_t> ModulePattern::match(std::string_view name, RegexScratch& scratch) const {
  if (!regex_) {
    if (plain_.size() > name.size()) return std::nullopt;
    const size_t at = name.size() - plain_.size();
    if (at > 0 && name[at - 1] != '.') return std::nullopt;
    return fits_dots(plain_, name.substr(at)) ? std::optional(name.size()) : std::nullopt;
  }
  try {
    if (name.size() > kLongestPath) throw unsupported("the name of a module is too long");
    scratch.allow(name.size());
    const auto found = regex_->search(name, 0, scratch);
    return found ? std::optional(found->end) : std::nullopt;
  } catch (Error& e) {
    throw std::move(e).at("key " + in_quotes(key_));
  }
}

namespace {

std::optional<ModulePattern> whole_pattern(const ModuleNames& names, std::string_view key) {
  if (names.pattern.empty() || names.pattern == kAllLinear) return std::nullopt;
  return ModulePattern::whole(names.pattern, std::string(key));
}

template <class T>
std::vector<ModulePattern> end_patterns(const std::vector<std::pair<std::string, T>>& rows,
                                        const std::string& section) {
  if (rows.size() > kMostModulePatterns)
    throw unsupported(fmt::format("{} patterns, limit {}", rows.size(), kMostModulePatterns))
        .at("key " + in_quotes(section));
  std::vector<ModulePattern> out;
  out.reserve(rows.size());
  for (const auto& row : rows)
    out.push_back(ModulePattern::end(row.first, section + '.' + row.first));
  return out;
}

// The value of the first pattern that fits.
template <class T>
T value_of(const std::vector<ModulePattern>& patterns,
           const std::vector<std::pair<std::string, T>>& rows, std::string_view path,
           RegexScratch& scratch, T otherwise) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (patterns[i].match(path, scratch)) return rows[i].second;
  }
  return otherwise;
}

}  // namespace

PeftModules::PeftModules(const PeftConfig& config)
    : config_(config),
      scratch_(kLongestPath),
      targets_(whole_pattern(config.targets, "target_modules")),
      excluded_(whole_pattern(config.excluded, "exclude_modules")),
      ranks_(end_patterns(config.ranks, "rank_pattern")),
      alphas_(end_patterns(config.alphas, "alpha_pattern")) {
  for (const std::string& pattern : config.layer_lists)
    layer_lists_.push_back(ModulePattern::layers(pattern, "layers_pattern"));
}

bool PeftModules::is_named(const ModuleNames& names, const std::optional<ModulePattern>& pattern,
                           const std::string& path) {
  if (pattern) return pattern->match(path, scratch_).has_value();
  return std::any_of(names.list.begin(), names.list.end(),
                     [&](const std::string& name) { return ends_path(name, path); });
}

bool PeftModules::is_in_layers(std::string_view path) {
  if (config_.layers.empty()) return true;
  std::optional<int64_t> number;
  if (layer_lists_.empty()) number = first_number(path);
  for (const ModulePattern& list : layer_lists_) {
    const auto end = list.match(path, scratch_);
    if (!end) continue;
    size_t begin = *end - 1;  // of the dot behind the number
    while (is_digit(path[begin - 1])) --begin;
    int64_t value = -1;
    std::from_chars(path.data() + begin, path.data() + *end - 1, value);
    number = value;
    break;
  }
  return number &&
         std::find(config_.layers.begin(), config_.layers.end(), *number) != config_.layers.end();
}

bool PeftModules::is_target(const std::string& path) {
  if (is_named(config_.excluded, excluded_, path) || is_saved(path)) return false;
  if (config_.targets.pattern == kAllLinear) return true;
  if (!is_named(config_.targets, targets_, path)) return false;
  const auto& list = config_.targets.list;
  const bool in_full = std::find(list.begin(), list.end(), path) != list.end();
  return targets_ || in_full || is_in_layers(path);
}

bool PeftModules::is_saved(std::string_view path) const {
  for (size_t end = path.size(); end != std::string_view::npos && end > 0;
       end = path.rfind('.', end - 1)) {
    const std::string_view module = path.substr(0, end);
    for (const std::string& saved : config_.saved) {
      if (!saved.empty() && module.ends_with(saved)) return true;
    }
  }
  return false;
}

int64_t PeftModules::rank(std::string_view path) {
  return value_of(ranks_, config_.ranks, path, scratch_, config_.rank);
}

double PeftModules::scale(std::string_view path) {
  const double alpha = value_of(alphas_, config_.alphas, path, scratch_, config_.alpha);
  const auto r = static_cast<double>(rank(path));
  return alpha / (config_.rank_stabilized ? std::sqrt(r) : r);
}

}  // namespace nibble
