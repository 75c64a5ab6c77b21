#include "nibble/format/peft_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "nibble/format/known_keys.h"

namespace nibble {
namespace {

// Every key that releases up to 0.21 write. A value that is null, false or empty changes nothing.
constexpr std::array<KnownKey, 42> kPeftKeys = {{
    {"peft_type"},
    {"r"},
    {"lora_alpha"},
    {"use_rslora"},
    {"target_modules"},
    {"exclude_modules"},
    {"modules_to_save"},
    {"layers_to_transform"},
    {"layers_pattern"},
    {"rank_pattern"},
    {"alpha_pattern"},
    {"bias"},
    {"fan_in_fan_out"},  // of how PyTorch holds the base: B A is [n, k] either way
    {"ensure_weight_tying"},
    {"init_lora_weights"},
    {"base_model_name_or_path"},
    // About training, or about the program that reads it.
    {"auto_mapping"},
    {"corda_config"},
    {"eva_config"},
    {"inference_mode"},
    {"loftq_config"},
    {"lora_dropout"},
    {"lora_ga_config"},
    {"megatron_core"},
    {"peft_version"},
    {"qalora_group_size"},
    {"revision"},
    {"runtime_config"},
    {"task_type"},
    {"alora_invocation_tokens", "which tokens the adapter begins to act at"},
    {"arrow_config", "which of several adapters acts on a token"},
    {"kasa_config", "the form of the low-rank change"},
    {"layer_replication", "how often layers are run"},
    {"lora_bias", "what is added beside B A"},
    {"megatron_config", "how the layers are split"},
    {"monteclora_config", "the form of the low-rank change"},
    {"target_parameters", "parameters that are no module's weight (experts in one tensor)"},
    {"trainable_token_indices", "rows of the embedding"},
    {"use_bdlora", "the form of A and B"},
    {"use_dora", "the lengths of the changed weights (DoRA)"},
    {"use_qalora", "the inputs of A (QA-LoRA)"},
    {"velora_config", "the form of the low-rank change"},
}};

bool is_false(const JsonFields& f, std::string_view key) {
  return !is_empty(f, key) && f.shown(key) == "false";
}

void require_known(const JsonFields& f) {
  for (const std::string& key : f.keys("")) {
    const auto row = std::find_if(kPeftKeys.begin(), kPeftKeys.end(),
                                  [&](const KnownKey& k) { return k.name == key; });
    if (row != kPeftKeys.end() && row->changes.empty()) continue;
    if (is_empty(f, key) || is_false(f, key)) continue;
    const std::string reason =
        row == kPeftKeys.end()
            ? "nibble does not know this key, and it may change what the adapter does"
            : fmt::format("changes {}, which nibble does not do", row->changes);
    throw unsupported(reason).at("key " + in_quotes(key));
  }
}

// Adapters of these kinds begin by changing the base: what they are is a difference from that.
void require_plain_start(const JsonFields& f) {
  constexpr std::string_view kKey = "init_lora_weights";
  if (is_empty(f, kKey) || !f.shown(kKey).starts_with("the string ")) return;
  const std::string start = f.string(kKey);
  for (const std::string_view known : {"gaussian", "eva", "orthogonal"}) {
    if (start == known) return;
  }
  throw unsupported(
      fmt::format("{} may change the base's own weights when the adapter is loaded: convert it in "
                  "PEFT (save_pretrained with path_initial_model_for_weight_conversion)",
                  in_quotes(start)))
      .at("key " + in_quotes(kKey));
}

// One string, or a list of them.
std::vector<std::string> strings_or_one(const JsonFields& f, const std::string& key) {
  if (is_empty(f, key)) return {};
  if (f.shown(key).starts_with("the string ")) return {f.string(key)};
  return f.strings(key);
}

ModuleNames module_names(const JsonFields& f, const std::string& key) {
  ModuleNames out;
  if (is_empty(f, key)) return out;
  if (f.shown(key).starts_with("the string "))
    out.pattern = f.string(key);
  else
    out.list = f.strings(key);
  return out;
}

std::vector<int64_t> layer_numbers(const JsonFields& f) {
  constexpr std::string_view kKey = "layers_to_transform";
  if (is_empty(f, kKey)) return {};
  return f.shown(kKey) == "an array" ? f.integers(kKey) : std::vector{f.integer(kKey)};
}

int64_t rank_at(const JsonFields& f, const std::string& path) {
  const int64_t rank = f.integer(path);
  if (rank >= 1 && rank <= kMostPeftRank) return rank;
  throw corrupt(fmt::format("a rank of {}, expected 1 to {}", rank, kMostPeftRank))
      .at("key " + in_quotes(path));
}

// The entries of a section by their keys, in the order of the file.
template <class T, class Read>
std::vector<std::pair<std::string, T>> pattern_rows(const JsonFields& f, const std::string& section,
                                                    const Read& read) {
  std::vector<std::pair<std::string, T>> out;
  if (!f.has_section(section)) return out;
  for (const std::string& key : f.keys(section)) out.emplace_back(key, read(section + '.' + key));
  return out;
}

std::string bias_word(const JsonFields& f) {
  std::string word = f.string_or("bias", "none");
  for (const std::string_view known : {"none", "all", "lora_only"}) {
    if (word == known) return word;
  }
  throw unsupported(fmt::format("{} (none, all and lora_only are read)", in_quotes(word)))
      .at("key \"bias\"");
}

void require_lora(const JsonFields& f) {
  const std::string type = f.string("peft_type");
  if (type == "LORA") return;
  throw unsupported(
      fmt::format("{} is not a kind of adapter that nibble reads (it reads LORA)", in_quotes(type)))
      .at("key \"peft_type\"");
}

}  // namespace

PeftConfig read_peft_config(const JsonFields& f) {
  require_lora(f);
  require_known(f);
  require_plain_start(f);
  PeftConfig out;
  if (!is_empty(f, "r")) out.rank = rank_at(f, "r");
  out.alpha = f.number_or("lora_alpha", out.alpha);
  out.rank_stabilized = f.boolean_or("use_rslora", false);
  out.targets = module_names(f, "target_modules");
  out.excluded = module_names(f, "exclude_modules");
  out.saved = f.strings("modules_to_save");
  out.layers = layer_numbers(f);
  out.layer_lists = strings_or_one(f, "layers_pattern");
  out.ranks = pattern_rows<int64_t>(f, "rank_pattern",
                                    [&](const std::string& path) { return rank_at(f, path); });
  out.alphas = pattern_rows<double>(f, "alpha_pattern",
                                    [&](const std::string& path) { return f.number(path); });
  out.bias = bias_word(f);
  out.ties_weights = f.boolean_or("ensure_weight_tying", false);
  out.fan_in_fan_out = f.boolean_or("fan_in_fan_out", false);
  out.base = f.string_or("base_model_name_or_path", "");
  return out;
}

namespace {

void write_names(std::string_view key, const ModuleNames& names, JsonWriter& out) {
  if (!names.pattern.empty())
    out.field(key, names.pattern);
  else if (!names.list.empty())
    out.array(key, names.list);
  else
    out.key(key).null();
}

template <class T>
void write_list(std::string_view key, const std::vector<T>& list, JsonWriter& out) {
  list.empty() ? out.key(key).null() : out.array(key, list);
}

template <class T>
void write_rows(std::string_view key, const std::vector<std::pair<std::string, T>>& rows,
                JsonWriter& out) {
  out.key(key).begin_object();
  for (const auto& [name, value] : rows) out.field(name, value);
  out.end_object();
}

}  // namespace

std::string peft_config_text(const PeftConfig& c) {
  JsonWriter out;
  out.begin_object().field("peft_type", "LORA").field("task_type", "CAUSAL_LM");
  out.key("base_model_name_or_path");
  c.base.empty() ? out.null() : out.value(c.base);
  out.field("inference_mode", true).field("r", c.rank).field("lora_alpha", c.alpha);
  out.field("lora_dropout", c.dropout).field("use_rslora", c.rank_stabilized);
  write_names("target_modules", c.targets, out);
  write_names("exclude_modules", c.excluded, out);
  write_list("modules_to_save", c.saved, out);
  write_list("layers_to_transform", c.layers, out);
  write_list("layers_pattern", c.layer_lists, out);
  write_rows("rank_pattern", c.ranks, out);
  write_rows("alpha_pattern", c.alphas, out);
  out.field("bias", c.bias).field("ensure_weight_tying", c.ties_weights);
  out.field("fan_in_fan_out", c.fan_in_fan_out).field("init_lora_weights", true);
  return out.end_object().finish();
}

}  // namespace nibble
