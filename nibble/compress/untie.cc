#include "nibble/compress/untie.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/model/fold.h"

namespace nibble {
namespace {

// The names of a tied model's head, which no file holds, and of the embedding that it is.
struct TiedNames {
  std::string head, embedding;
};

std::optional<TiedNames> tied_names(const Model& model) {
  const auto* config = std::get_if<DecoderConfig>(&model.config);
  if (config == nullptr || !config->tied) return std::nullopt;
  DecoderConfig apart = *config;
  apart.tied = false;
  TiedNames out;
  for (const ParamSpec& p : parameter_table(apart)) {
    if (p.bias) continue;
    if (p.role == Role::lm_head) out.head = p.name;
    if (p.role == Role::token_embedding) out.embedding = p.name;
  }
  return out;
}

bool matches(std::string_view pattern, std::string_view name) {
  return glob_match(pattern, name) || glob_match(pattern, module_of(name));
}

template <class Rule>
bool any_matches(const std::vector<Rule>& rules, std::string_view name) {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const Rule& r) { return matches(r.pattern, name); });
}

bool asked(const QuantizeOptions& options, std::string_view what) {
  return std::find(options.also.begin(), options.also.end(), what) != options.also.end();
}

bool wants_head_alone(const Model& model, const TiedNames& names, const QuantizeOptions& o) {
  if (covers_every_matrix(model.config) || asked(o, "embeddings")) return false;
  if (any_matches(o.set, names.embedding) || any_matches(o.keep, names.head)) return false;
  return asked(o, "lm_head") || any_matches(o.set, names.head);
}

}  // namespace

std::optional<Model> untied_model(const Model& model, const QuantizeOptions& options,
                                  std::vector<std::string>& warnings) {
  const auto names = tied_names(model);
  if (!names || !wants_head_alone(model, *names, options)) return std::nullopt;
  WeightChanges changes;
  changes.copies.emplace(names->head, names->embedding);
  Model out = with_changes(model, std::move(changes));
  std::get<DecoderConfig>(out.config).tied = false;
  warnings.push_back(fmt::format(
      "the head is the embedding in this model: it becomes a matrix of its own, tensor {}, and {} "
      "stays as it is (`also` embeddings stores one for both)",
      in_quotes(names->head), in_quotes(names->embedding)));
  return out;
}

std::string tied_head_hint(const Model& model, std::string_view pattern) {
  const auto names = tied_names(model);
  if (!names || !matches(pattern, names->head)) return "";
  return fmt::format(
      "the head of this model is its embedding, {}: name that, or `also` "
      "lm_head makes a matrix of its own of it",
      in_quotes(names->embedding));
}

}  // namespace nibble
