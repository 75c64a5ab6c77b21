#include "nibble/model/gguf_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "nibble/core/counted.h"
#include "nibble/core/json.h"
#include "nibble/model/architecture.h"
#include "nibble/model/gguf_keys.h"
#include "nibble/model/gguf_names.h"
#include "nibble/model/gguf_rope.h"
#include "nibble/model/hf_config.h"

namespace nibble {
namespace {

constexpr std::string_view kTurned = "rope.dimension_count", kVocabulary = "vocab_size",
                           kKeys = "attention.key_length", kValues = "attention.value_length",
                           kHeads = "attention.head_count", kWidth = "embedding_length";
constexpr std::string_view kCommon[] = {kTurned, kVocabulary, kKeys, kValues};
// Of some architectures, and what config.json calls them (GgufArchitecture::read_more).
constexpr GgufKey kOfSome[] = {{"expert_count", "num_local_experts"},
                               {"expert_used_count", "num_experts_per_tok"},
                               {"attn_logit_softcapping", "attn_logit_softcapping"},
                               {"final_logit_softcapping", "final_logit_softcapping"}};
// Of other architectures: with any other value than these a model computes something else.
struct NeutralKey {
  std::string_view key;
  double neutral, unset;
};
constexpr NeutralKey kNeutral[] = {
    {"attention.causal", 1, 1},     {"attention.scale", 0, 0},
    {"attention.clamp_kqv", 0, 0},  {"attention.max_alibi_bias", 0, 0},
    {"logit_scale", 1, 0},          {"residual_scale", 1, 0},
    {"embedding_scale", 1, 0},      {"expert_weights_scale", 1, 0},
    {"expert_shared_count", 0, 0},  {"leading_dense_block_count", 0, 0},
    {"nextn_predict_layers", 0, 0},
};
constexpr size_t kNamed = 3;  // of the keys that nobody reads

class ConfigOf {
 public:
  ConfigOf(const GgufFile& file, const Architecture& architecture)
      : file_(file), gguf_(*architecture.in_gguf), keys_(file.metadata(), gguf_.name) {}

  std::string text() {
    out_.begin_object();
    for (const GgufKey& key : gguf_.keys) write(key);
    write_sizes();
    // No head: the embedding once more.
    out_.field("tie_word_embeddings", file_.find(gguf_name({Role::lm_head})) == nullptr);
    // Biases that config.json of some architectures speaks of.
    out_.field("attention_bias", has(Role::q));
    out_.field("mlp_bias", has(Role::up));
    if (gguf_.read_more != nullptr) gguf_.read_more(file_.metadata(), out_);
    return out_.end_object().finish();
  }

 private:
  bool has(Role role) const { return file_.find(gguf_name({role, 0, -1, true})) != nullptr; }

  void write(const GgufKey& key) {
    const GgufValue* value = keys_.find(key.key);
    if (value == nullptr && !key.required) return;
    const bool real = value != nullptr &&
                      (value->type == GgufValueType::f32 || value->type == GgufValueType::f64);
    if (real)
      out_.field(key.config, keys_.number(key.key));
    else
      out_.field(key.config, keys_.integer(key.key));
  }

  void write_sizes() {
    out_.field("vocab_size", rows_of_table());
    if (keys_.integer(kWidth) < 1) {
      throw corrupt(fmt::format("must be at least 1 (got {})", keys_.integer(kWidth)))
          .at(hf::at_key(keys_.full(kWidth)));
    }
    const auto own_width = keys_.integer_if(kKeys);
    const int64_t head_dim =
        own_width
            ? *own_width
            : hf::divide_heads(keys_.integer(kWidth), keys_.integer(kHeads), keys_.full(kHeads));
    if (!own_width) out_.field("head_dim", head_dim);
    refuse_unless(kTurned, keys_.integer_if(kTurned).value_or(head_dim), head_dim,
                  "the rotation of a part of each head cannot be run");
    refuse_unless(kValues, keys_.integer_if(kValues).value_or(head_dim), head_dim,
                  "values of another width than keys cannot be run");
    write_gguf_rope(file_, keys_, head_dim, out_);
  }

  int64_t rows_of_table() const {
    const std::string name = gguf_name({Role::token_embedding});
    const GgufTensor* table = file_.find(name);
    if (table != nullptr && table->shape.rank() == 2) return table->shape[0];
    throw corrupt(table == nullptr
                      ? "every model needs this tensor, the file does not have it"
                      : "expected a row for each token, found shape " + table->shape.to_string())
        .at("tensor " + in_quotes(name));
  }

  void refuse_unless(std::string_view key, int64_t found, int64_t wanted, std::string_view why) {
    if (found == wanted) return;
    throw unsupported(fmt::format("is {} and a head has {}: {}", found, wanted, why))
        .at(hf::at_key(keys_.full(key)));
  }

  const GgufFile& file_;
  const GgufArchitecture& gguf_;
  GgufKeys keys_;
  JsonWriter out_;
};

// The key of the metadata that one of config.json came from; empty where it is none.
std::string_view source_of(std::string_view where, const GgufArchitecture& of) {
  for (const auto& keys : {of.keys, std::span<const GgufKey>(kOfSome)}) {
    for (const GgufKey& k : keys) {
      if (where == hf::at_key(k.config)) return k.key;
    }
  }
  constexpr std::string_view kBefore = "key \"";
  if (!where.starts_with(kBefore)) return {};
  return gguf_rope_key(where.substr(kBefore.size(), where.size() - kBefore.size() - 1));
}

// An error at a key of config.json is one at the key of the metadata that it came from.
[[noreturn]] void rethrow(const Error& e, const GgufArchitecture& of) {
  const std::string_view key = source_of(e.where(), of);
  if (key.empty()) throw Error(e);
  throw Error(e.kind(), e.reason()).at(hf::at_key(fmt::format("{}.{}", of.name, key)));
}

bool has_gguf_key(std::span<const GgufKey> keys, std::string_view key) {
  return std::any_of(keys.begin(), keys.end(), [&](const GgufKey& k) { return k.key == key; });
}

void refuse_other_computations(const GgufMetadata& metadata, const GgufArchitecture& of) {
  const GgufKeys keys(metadata, of.name);
  for (const NeutralKey& k : kNeutral) {
    const GgufValue* found = keys.find(k.key);
    if (found == nullptr) continue;
    const double value = found->type == GgufValueType::boolean
                             ? static_cast<double>(*metadata.boolean_if(keys.full(k.key)))
                             : keys.number(k.key);
    if (value == k.neutral || value == k.unset) continue;
    throw unsupported(fmt::format("is {}: that cannot be run", value))
        .at(hf::at_key(keys.full(k.key)));
  }
}

bool is_neutral(std::string_view key) {
  return std::any_of(std::begin(kNeutral), std::end(kNeutral),
                     [&](const NeutralKey& k) { return k.key == key; });
}

// Keys of the architecture that nobody reads.
std::vector<std::string> unknown_keys(const GgufMetadata& metadata, const GgufArchitecture& of) {
  const std::string prefix = std::string(of.name) + ".";
  std::vector<std::string> out;
  for (const auto& [name, value] : metadata.list()) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view key = std::string_view(name).substr(prefix.size());
    const bool common = std::find(std::begin(kCommon), std::end(kCommon), key) != std::end(kCommon);
    if (!common && !has_gguf_key(of.keys, key) && !has_gguf_key(kOfSome, key) &&
        !is_gguf_rope_key(key) && !is_neutral(key))
      out.push_back(in_quotes(name));
  }
  return out;
}

void warn_of(std::vector<std::string> unknown, std::vector<std::string>& warnings) {
  if (unknown.empty()) return;
  const auto count = std::ssize(unknown);
  unknown.resize(std::min(unknown.size(), kNamed));
  warnings.push_back(fmt::format("{} of the metadata {} not known: {}{}", counted(count, "key"),
                                 count == 1 ? "is" : "are", fmt::join(unknown, ", "),
                                 count > std::ssize(unknown) ? ", ..." : ""));
}

}  // namespace

double GgufKeys::number(std::string_view key) const {
  const double value = metadata_.number(full(key));
  const auto narrow = static_cast<float>(value);
  return static_cast<double>(narrow) == value ? std::stod(fmt::format("{}", narrow)) : value;
}

DecoderConfig read_gguf_config(const GgufFile& file, std::vector<std::string>& warnings) {
  const Architecture& of = gguf_architecture(file.metadata());
  DecoderConfig config;
  try {
    config = of.read_config(JsonFields::parse(ConfigOf(file, of).text()));
    validate(config);
  } catch (const Error& e) {
    rethrow(e, *of.in_gguf);
  }
  refuse_other_computations(file.metadata(), *of.in_gguf);
  warn_of(unknown_keys(file.metadata(), *of.in_gguf), warnings);
  return config;
}

}  // namespace nibble
