#include "nibble/model/gguf_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nibble/core/counted.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/json.h"
#include "nibble/model/architecture.h"
#include "nibble/model/gguf_names.h"
#include "nibble/model/hf_config.h"

namespace nibble {
namespace {

constexpr std::string_view kTurned = "rope.dimension_count", kTheta = "rope.freq_base",
                           kVocabulary = "vocab_size", kValues = "attention.value_length",
                           kKeys = "attention.key_length", kScaling = "rope.scaling.type",
                           kFactor = "rope.scaling.factor", kOldFactor = "rope.scale_linear",
                           kOriginal = "rope.scaling.original_context_length";
constexpr std::string_view kCommon[] = {kTurned, kTheta,     kVocabulary, kValues, kScaling,
                                        kFactor, kOldFactor, kOriginal,   kKeys};

// What Llama 3.1 to 3.3 say in config.json; GGUF has only what comes of it.
constexpr int64_t kLlama3Context = 8192;
constexpr double kTolerance = 1e-4;

class ConfigOf {
 public:
  ConfigOf(const GgufFile& file, const Architecture& architecture)
      : file_(file),
        metadata_(file.metadata()),
        gguf_(*architecture.in_gguf),
        prefix_(std::string(gguf_.name) + ".") {}

  std::string text() {
    out_.begin_object();
    for (const GgufKey& key : gguf_.keys) write(key);
    write_sizes();
    write_rope();
    out_.field("tie_word_embeddings", is_tied());
    // Biases that config.json of some architectures speaks of.
    out_.field("attention_bias", has(Role::q));
    out_.field("mlp_bias", has(Role::up));
    if (gguf_.read_more != nullptr) gguf_.read_more(metadata_, out_);
    return out_.end_object().finish();
  }

  std::string full(std::string_view key) const { return prefix_ + std::string(key); }

 private:
  bool has(Role role) const { return file_.find(gguf_name({role, 0, -1, true})) != nullptr; }

  void write(const GgufKey& key) {
    const GgufValue* value = metadata_.find(full(key.key));
    if (value == nullptr && !key.required) return;
    const bool real = value != nullptr &&
                      (value->type == GgufValueType::f32 || value->type == GgufValueType::f64);
    if (real)
      out_.field(key.config, shortest(full(key.key)));
    else
      out_.field(key.config, metadata_.integer(full(key.key)));
    if (key.key == kKeys) has_head_dim_ = true;
  }

  // 1e-5 as an f32 is 9.99999974e-06: of the numbers that are this one in f32, the shortest was
  // meant.
  double shortest(const std::string& key) const {
    const double value = metadata_.number(key);
    const auto narrow = static_cast<float>(value);
    return static_cast<double>(narrow) == value ? std::stod(fmt::format("{}", narrow)) : value;
  }

  void write_sizes() {
    const GgufTensor& table = file_.require(gguf_name({Role::token_embedding}));
    if (table.shape.rank() == 2) out_.field("vocab_size", table.shape[0]);
    const auto turned = metadata_.integer_if(full(kTurned));
    const int64_t width = metadata_.integer(full("embedding_length")),
                  heads = metadata_.integer(full("attention.head_count"));
    const int64_t own = heads > 0 ? width / heads : 0;
    const int64_t head_dim = metadata_.integer_if(full(kKeys)).value_or(own);
    if (!has_head_dim_ && turned) out_.field("head_dim", head_dim);
    refuse_unless(kTurned, turned.value_or(head_dim), head_dim,
                  "the rotation of a part of each head cannot be run");
    refuse_unless(kValues, metadata_.integer_if(full(kValues)).value_or(head_dim), head_dim,
                  "values of another width than keys cannot be run");
  }

  void refuse_unless(std::string_view key, int64_t found, int64_t wanted, std::string_view why) {
    if (found == wanted) return;
    throw unsupported(fmt::format("is {} and a head has {}: {}", found, wanted, why))
        .at(hf::at_key(full(key)));
  }

  void write_rope() {
    const std::string theta = full(kTheta);
    if (metadata_.contains(theta)) out_.field("rope_theta", shortest(theta));
    const std::string kind = metadata_.string_if(full(kScaling)).value_or("none");
    const auto old = metadata_.number_if(full(kOldFactor));
    const double factor = metadata_.number_if(full(kFactor)).value_or(old.value_or(1));
    if (const GgufTensor* divisors = file_.find("rope_freqs.weight"))
      return write_llama3(*divisors);
    if (kind == "none" && (!old || *old == 1 || *old == 0)) return;
    out_.key("rope_scaling").begin_object();
    out_.field("rope_type", kind == "none" ? "linear" : kind).field("factor", factor);
    if (const auto original = metadata_.integer_if(full(kOriginal)))
      out_.field("original_max_position_embeddings", *original);
    out_.end_object();
  }

  // The divisors of each frequency are those of Llama 3's formula, or not understood.
  void write_llama3(const GgufTensor& tensor) {
    const Tensor divisors =
        convert(gguf_weight(tensor, {0, tensor.shape.elements()}).plain(), DType::f32);
    const auto found = divisors.data<float>();
    const float factor = found.empty() ? 1 : *std::max_element(found.begin(), found.end());
    RopeConfig rope;
    rope.theta = metadata_.number_if(full(kTheta)).value_or(rope.theta);
    const RopeConfig plain = rope;
    rope.scaling = RopeScaling::llama3;
    rope.factor = factor;
    rope.original_context = kLlama3Context;
    const Rotary with(rope, tensor.shape.elements() * 2),
        without(plain, tensor.shape.elements() * 2);
    for (size_t i = 0; i < found.size(); ++i) {
      const double wanted = static_cast<double>(without.frequencies()[i]) / with.frequencies()[i];
      if (std::fabs(static_cast<double>(found[i]) - wanted) <= kTolerance * wanted) continue;
      throw unsupported(fmt::format("divisor {} is {}, where Llama 3's formula has {}: no other is "
                                    "known",
                                    i, found[i], wanted))
          .at("tensor " + in_quotes(tensor.name));
    }
    if (factor == 1) return;
    out_.key("rope_scaling").begin_object();
    out_.field("rope_type", "llama3").field("factor", static_cast<double>(factor));
    out_.field("low_freq_factor", rope.low_freq_factor);
    out_.field("high_freq_factor", rope.high_freq_factor);
    out_.field("original_max_position_embeddings", rope.original_context);
    out_.end_object();
  }

  // No head, or a head that is the embedding once more.
  bool is_tied() const {
    const GgufTensor* head = file_.find(gguf_name({Role::lm_head}));
    return head == nullptr;
  }

  const GgufFile& file_;
  const GgufMetadata& metadata_;
  const GgufArchitecture& gguf_;
  std::string prefix_;
  JsonWriter out_;
  bool has_head_dim_ = false;
};

// An error at a key of config.json is one at the key of the metadata that it came from.
[[noreturn]] void rethrow(const Error& e, const GgufArchitecture& of) {
  std::string key;
  for (const GgufKey& k : of.keys) {
    if (e.where() == hf::at_key(k.config)) key = k.key;
  }
  if (e.where() == hf::at_key("rope_theta")) key = kTheta;
  if (key.empty()) throw Error(e);
  throw Error(e.kind(), e.reason()).at(hf::at_key(fmt::format("{}.{}", of.name, key)));
}

// Keys of the architecture that nobody reads.
std::vector<std::string> unknown_keys(const GgufMetadata& metadata, const GgufArchitecture& of) {
  const std::string prefix = std::string(of.name) + ".";
  std::vector<std::string> out;
  for (const auto& [name, value] : metadata.list()) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view key = std::string_view(name).substr(prefix.size());
    const auto same = [&](const GgufKey& k) { return k.key == key; };
    const bool known =
        std::find(std::begin(kCommon), std::end(kCommon), key) != std::end(kCommon) ||
        std::any_of(of.keys.begin(), of.keys.end(), same) || key.starts_with("expert_") ||
        key.ends_with("_logit_softcapping");
    if (!known) out.push_back(in_quotes(name));
  }
  return out;
}

}  // namespace

DecoderConfig read_gguf_config(const GgufFile& file, std::vector<std::string>& warnings) {
  const Architecture& of = gguf_architecture(file.metadata());
  DecoderConfig config;
  try {
    config = of.read_config(JsonFields::parse(ConfigOf(file, of).text()));
    validate(config);
  } catch (const Error& e) {
    rethrow(e, *of.in_gguf);
  }
  const std::vector<std::string> unknown = unknown_keys(file.metadata(), *of.in_gguf);
  if (!unknown.empty()) {
    warnings.push_back(fmt::format("{} of the metadata {} not known: {}",
                                   counted(std::ssize(unknown), "key"),
                                   unknown.size() == 1 ? "is" : "are", fmt::join(unknown, ", ")));
  }
  return config;
}

}  // namespace nibble
