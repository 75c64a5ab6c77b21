#include "nibble/eval/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "nibble/core/in_file.h"
#include "nibble/core/mapped_file.h"
#include "nibble/format/recognise.h"
#include "nibble/text/json_tree.h"

namespace nibble {
namespace {

using Type = JsonNode::Type;

// What is read here, and what changes no token that a model writes: lengths, speed, form of output,
// and settings of beam search, which "num_beams" brings.
constexpr std::array<std::string_view, 38> kKnown = {"do_sample",
                                                     "temperature",
                                                     "top_k",
                                                     "top_p",
                                                     "min_p",
                                                     "typical_p",
                                                     "repetition_penalty",
                                                     "bos_token_id",
                                                     "eos_token_id",
                                                     "stop_strings",
                                                     "_from_model_config",
                                                     "_commit_hash",
                                                     "transformers_version",
                                                     "pad_token_id",
                                                     "decoder_start_token_id",
                                                     "max_length",
                                                     "max_new_tokens",
                                                     "use_cache",
                                                     "cache_implementation",
                                                     "cache_config",
                                                     "prefill_chunk_size",
                                                     "low_memory",
                                                     "return_dict_in_generate",
                                                     "output_attentions",
                                                     "output_hidden_states",
                                                     "output_scores",
                                                     "output_logits",
                                                     "disable_compile",
                                                     "compile_config",
                                                     "length_penalty",
                                                     "early_stopping",
                                                     "num_beam_groups",
                                                     "diversity_penalty",
                                                     "is_assistant",
                                                     "num_assistant_tokens",
                                                     "num_assistant_tokens_schedule",
                                                     "assistant_confidence_threshold",
                                                     "prompt_lookup_num_tokens"};

// Settings that nibble does not do, and the value at which they do nothing.
struct Undone {
  std::string_view key, neutral;
};
constexpr Undone kUndone[] = {{"num_beams", "1"},
                              {"num_return_sequences", "1"},
                              {"min_length", "0"},
                              {"min_new_tokens", "0"},
                              {"epsilon_cutoff", "0"},
                              {"eta_cutoff", "0"},
                              {"encoder_repetition_penalty", "1"},
                              {"no_repeat_ngram_size", "0"},
                              {"encoder_no_repeat_ngram_size", "0"},
                              {"penalty_alpha", "0"},
                              {"guidance_scale", "1"},
                              {"renormalize_logits", "0"},
                              {"remove_invalid_values", "0"},
                              {"token_healing", "0"}};

double number_of(const JsonNode& node) {
  if (node.type == Type::integer) return static_cast<double>(node.integer);
  if (node.type != Type::number) throw node.wrong("a number");
  double value = 0;
  const char* const end = node.text.data() + node.text.size();
  const auto read = std::from_chars(node.text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end) throw node.wrong("a finite number");
  return value;
}

// A number for which `good` holds; `expected` says what that is.
template <class Good>
std::optional<double> number(const JsonNode& root, std::string_view key, std::string_view expected,
                             Good good) {
  const JsonNode* node = root.find(key);
  if (node == nullptr) return std::nullopt;
  const double value = number_of(*node);
  if (!std::isfinite(value) || !good(value)) {
    throw corrupt(fmt::format("expected {} (got {})", expected, value))
        .at("key " + in_quotes(node->path));
  }
  return value;
}

int64_t integer_of(const JsonNode& node) {
  if (node.type != Type::integer) throw node.wrong("an integer");
  return node.integer;
}

// An id or several; -1 stands for none.
std::vector<int64_t> ids_of(const JsonNode& root, std::string_view key) {
  const JsonNode* node = root.find(key);
  std::vector<int64_t> out;
  if (node == nullptr) return out;
  if (node->type != Type::array) {
    out.push_back(integer_of(*node));
  } else {
    for (const JsonNode& one : node->children) out.push_back(integer_of(one));
  }
  std::erase(out, -1);
  return out;
}

void read_ids(const JsonNode& root, GenerationDefaults& out) {
  const auto id = [](int64_t value) {
    return static_cast<int32_t>(std::clamp<int64_t>(value, -1, INT32_MAX));
  };
  for (const int64_t end : ids_of(root, "eos_token_id")) out.ends.push_back(id(end));
  const std::vector<int64_t> bos = ids_of(root, "bos_token_id");
  if (!bos.empty()) out.bos = id(bos.front());
}

void read_stop_strings(const JsonNode& root, GenerationDefaults& out) {
  const JsonNode* node = root.find("stop_strings");
  if (node == nullptr) return;
  if (node->type == Type::string) return out.stop_strings.push_back(node->text);
  if (node->type != Type::array) throw node->wrong("a string or several");
  for (const JsonNode& one : node->children) {
    if (one.type != Type::string) throw one.wrong("a string");
    out.stop_strings.push_back(one.text);
  }
}

bool does_nothing(const JsonNode& node) {
  if (node.is_null() || (node.type == Type::array && node.children.empty())) return true;
  const auto* const row = std::find_if(std::begin(kUndone), std::end(kUndone),
                                       [&](const Undone& u) { return u.key == node.key; });
  if (row == std::end(kUndone)) return false;
  const bool number = node.type == Type::integer || node.type == Type::number;
  if (node.type == Type::boolean) return fmt::to_string(node.integer) == row->neutral;
  return number && fmt::to_string(number_of(node)) == row->neutral;
}

void warn_of_the_rest(const JsonNode& root, GenerationDefaults& out) {
  for (const JsonNode& node : root.children) {
    if (std::find(kKnown.begin(), kKnown.end(), node.key) != kKnown.end()) continue;
    if (does_nothing(node)) continue;
    out.warnings.push_back(
        fmt::format("key {}: nibble does not do this, texts will differ from those of programs "
                    "that do",
                    in_quotes(node.key)));
  }
  if (out.do_sample) return;
  for (const char* key : {"temperature", "top_k", "top_p", "min_p", "typical_p"}) {
    const JsonNode* node = root.find(key);
    if (node == nullptr || (node->key == "typical_p" && number_of(*node) == 1)) continue;
    out.warnings.push_back(fmt::format("key \"{}\": not used, as \"do_sample\" is not true", key));
  }
}

// Leaves out ids that no token of the model has.
void check_ids(int64_t rows, GenerationDefaults& defaults) {
  const auto wrong = [&](int32_t id) {
    if (id >= 0 && id < rows) return false;
    defaults.warnings.push_back(fmt::format(
        "token id {} is outside the model's vocabulary of {}: it begins and ends nothing", id,
        rows));
    return true;
  };
  std::erase_if(defaults.ends, wrong);
  if (defaults.bos && wrong(*defaults.bos)) defaults.bos.reset();
}

// What `parse` makes of a file of the model's; nothing where there is no such file.
template <class Parse>
GenerationDefaults from_file(const Model& model, const char* name, Parse parse) {
  const auto file = model.settings(name);
  if (!file) return {};
  return naming_file(file->name, [&] {
    refuse_other_text(file->text, "settings of a model");
    GenerationDefaults out = parse(file->text);
    check_ids(model.decoder_config().vocab_size, out);
    for (std::string& warning : out.warnings) warning = printable(file->name) + ": " + warning;
    return out;
  });
}

JsonNode tree_of(std::string_view json) {
  JsonTreeBuilder builder;
  parse_json(json, builder, 0, JsonNumbers::python);
  if (builder.root.type != Type::object) throw builder.root.wrong("an object");
  return std::move(builder.root);
}

}  // namespace

GenerationDefaults parse_generation_config(std::string_view json) {
  const JsonNode root = tree_of(json);
  const auto share = [](double v) { return v >= 0 && v <= 1; };
  GenerationDefaults out;
  out.do_sample = root.boolean_or("do_sample", false);
  out.temperature = number(root, "temperature", "0 or more", [](double v) { return v >= 0; });
  out.top_p = number(root, "top_p", "0 to 1", share);
  out.min_p = number(root, "min_p", "0 to 1", share);
  out.typical_p = number(root, "typical_p", "more than 0 and at most 1",
                         [](double v) { return v > 0 && v <= 1; });
  out.repetition_penalty =
      number(root, "repetition_penalty", "more than 0", [](double v) { return v > 0; });
  if (const JsonNode* top_k = root.find("top_k")) {
    out.top_k = integer_of(*top_k);
    if (*out.top_k < 0) throw top_k->wrong("0 or more");
  }
  read_ids(root, out);
  read_stop_strings(root, out);
  warn_of_the_rest(root, out);
  return out;
}

GenerationDefaults read_generation_defaults(const Model& model) {
  GenerationDefaults out = from_file(model, "generation_config.json", parse_generation_config);
  const GenerationDefaults of_model = from_file(model, "config.json", [](const std::string& json) {
    GenerationDefaults ids;
    read_ids(tree_of(json), ids);
    return ids;
  });
  if (!out.bos) out.bos = of_model.bos;
  out.ends.insert(out.ends.end(), of_model.ends.begin(), of_model.ends.end());
  out.warnings.insert(out.warnings.end(), of_model.warnings.begin(), of_model.warnings.end());
  return out;
}

std::vector<std::string> take_defaults(const GenerationDefaults& defaults,
                                       const std::set<std::string>& given,
                                       SamplingOptions& sampling) {
  std::vector<std::string> taken;
  const auto take = [&](const char* name, const auto& value, auto& option) {
    if (!value || given.contains(name) || *value == option) return;
    option = *value;
    taken.emplace_back(name);
  };
  const bool greedy = given.contains("temperature") && sampling.temperature == 0;
  if (defaults.do_sample && !greedy) {
    take("temperature", std::optional(defaults.temperature.value_or(1)), sampling.temperature);
    take("top_k", defaults.top_k, sampling.top_k);
    take("top_p", defaults.top_p, sampling.top_p);
    take("min_p", defaults.min_p, sampling.min_p);
    take("typical_p", defaults.typical_p, sampling.typical_p);
  }
  take("repetition_penalty", defaults.repetition_penalty, sampling.repetition_penalty);
  return taken;
}

std::vector<int32_t> text_ends(const Model& model, const GenerationDefaults& defaults) {
  std::vector<int32_t> out = model.require_tokenizer().ends();
  for (const int32_t id : defaults.ends) {
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  }
  return out;
}

}  // namespace nibble
