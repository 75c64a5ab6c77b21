#include "nibble/model/gguf_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "nibble/core/error.h"
#include "nibble/model/hf_config.h"
#include "nibble/model/stored_weights.h"

namespace nibble {
namespace {

constexpr std::string_view kTheta = "rope.freq_base", kScaling = "rope.scaling.type",
                           kFactor = "rope.scaling.factor", kOldFactor = "rope.scale_linear",
                           kOriginal = "rope.scaling.original_context_length",
                           kAttention = "rope.scaling.attn_factor",
                           kExtrapolation = "rope.scaling.yarn_ext_factor",
                           kLogMultiplier = "rope.scaling.yarn_log_multiplier",
                           kFinetuned = "rope.scaling.finetuned";
constexpr std::string_view kNoScaling = "none";

// Keys, and what config.json calls them, most of them within rope_scaling.
struct RopeKey {
  std::string_view key, config;
};
constexpr RopeKey kRopeKeys[] = {{"rope.scaling.yarn_attn_factor", "attention_factor"},
                                 {"rope.scaling.yarn_beta_fast", "beta_fast"},
                                 {"rope.scaling.yarn_beta_slow", "beta_slow"}};

// What Llama 3.1 to 3.3 say in config.json; GGUF has only what comes of it.
constexpr int64_t kLlama3Context = 8192;
constexpr double kTolerance = 1e-4;

class RopeOf {
 public:
  RopeOf(const GgufFile& file, const GgufKeys& keys, int64_t head_dim, JsonWriter& out)
      : divisors_(file.find(kGgufDivisors)), keys_(keys), head_dim_(head_dim), out_(out) {
    // Without a kind, a factor is one of positions; 0 says nothing (llama.cpp).
    kind_ = keys.string_if(kScaling).value_or("linear");
    factor_key_ = keys.find(kFactor) == nullptr ? kOldFactor : kFactor;
    factor_ = keys.number_if(factor_key_).value_or(1);
    if (factor_ == 0) factor_ = 1;
    if (kind_ == "linear" && factor_ == 1) kind_ = kNoScaling;
  }

  void write() {
    if (const auto theta = keys_.number_if(kTheta)) out_.field("rope_theta", *theta);
    require(kAttention, keys_.number_if(kAttention).value_or(1), 1,
            "attention that is scaled beside its context cannot be run");
    const double extrapolation = keys_.number_if(kExtrapolation).value_or(-1);
    if (extrapolation >= 0) {  // below: not set
      require(kExtrapolation, extrapolation, kind_ == "yarn" ? 1 : 0, "YaRN in part cannot be run");
    }
    if (divisors_ != nullptr) return write_llama3();
    if (kind_ == kNoScaling) return;
    if (kind_ != "linear" && kind_ != "yarn")
      throw unsupported(fmt::format("{} is none of none, linear and yarn", in_quotes(kind_)))
          .at(hf::at_key(keys_.full(kScaling)));
    out_.key("rope_scaling").begin_object();
    out_.field("rope_type", kind_).field("factor", factor_);
    if (const auto original = keys_.integer_if(kOriginal); original && kind_ != "linear")
      out_.field("original_max_position_embeddings", *original);
    if (kind_ == "yarn") write_yarn();
    out_.end_object();
  }

 private:
  void require(std::string_view key, double found, double wanted, std::string_view why) {
    if (found == wanted) return;
    throw unsupported(fmt::format("is {}: {}", found, why)).at(hf::at_key(keys_.full(key)));
  }

  void write_yarn() {
    for (const RopeKey& k : kRopeKeys) {
      if (const auto value = keys_.number_if(k.key)) out_.field(k.config, *value);
    }
    const double all = keys_.number_if(kLogMultiplier).value_or(0);
    if (all != 0) out_.field("mscale", 1.0).field("mscale_all_dim", all);
  }

  // The divisors of each frequency are those of Llama 3's formula, or not understood.
  void write_llama3() {
    if (kind_ != kNoScaling) {
      throw unsupported(fmt::format("is {} where the tensor {} scales the frequencies already",
                                    factor_, in_quotes(kGgufDivisors)))
          .at(hf::at_key(keys_.full(factor_key_)));
    }
    try {
      const std::vector<float> found = divisors();
      const double factor = *std::max_element(found.begin(), found.end());
      if (!is_llama3(found, factor)) throw unsupported(not_the_formula(found));
      if (factor != 1) write_llama3(factor);
    } catch (Error& e) {
      throw std::move(e).at("tensor " + in_quotes(kGgufDivisors));
    }
  }

  std::vector<float> divisors() const {
    const Shape wanted{head_dim_ / 2};
    if (divisors_->shape != wanted || head_dim_ < 2) {
      throw corrupt(fmt::format("expected shape {} by the metadata, found {}", wanted.to_string(),
                                divisors_->shape.to_string()));
    }
    if (!divisors_->type->plain || !can_be_multiplied(*divisors_->type->plain))
      throw unsupported(fmt::format("divisors in {}, expected F32", divisors_->type->name));
    return gguf_weight(*divisors_, {0, wanted[0]}).values();
  }

  static RopeConfig llama3(double theta, double factor) {
    RopeConfig out;
    out.theta = theta;
    out.scaling = RopeScaling::llama3;
    out.factor = factor;
    out.original_context = kLlama3Context;
    return out;
  }

  bool is_llama3(const std::vector<float>& found, double factor) const {
    RopeConfig plain;
    plain.theta = keys_.number_if(kTheta).value_or(plain.theta);
    if (!std::isfinite(factor) || factor < 1) return false;
    const Rotary with(llama3(plain.theta, factor), head_dim_), without(plain, head_dim_);
    for (size_t i = 0; i < found.size(); ++i) {
      const double wanted = static_cast<double>(without.frequencies()[i]) / with.frequencies()[i];
      if (!(std::fabs(static_cast<double>(found[i]) - wanted) <= kTolerance * wanted)) return false;
    }
    return true;
  }

  static std::string not_the_formula(const std::vector<float>& found) {
    return fmt::format(
        "divisors from {} to {} are none that Llama 3's formula gives for a context "
        "of {}: no other is known",
        found.front(), found.back(), kLlama3Context);
  }

  void write_llama3(double factor) {
    const RopeConfig rope = llama3(0, factor);
    out_.key("rope_scaling").begin_object();
    out_.field("rope_type", "llama3").field("factor", factor);
    out_.field("low_freq_factor", rope.low_freq_factor);
    out_.field("high_freq_factor", rope.high_freq_factor);
    out_.field("original_max_position_embeddings", rope.original_context);
    out_.end_object();
  }

  const GgufTensor* divisors_;
  const GgufKeys& keys_;
  int64_t head_dim_;
  JsonWriter& out_;
  std::string kind_;
  std::string_view factor_key_;
  double factor_ = 1;
};

}  // namespace

void write_gguf_rope(const GgufFile& file, const GgufKeys& keys, int64_t head_dim,
                     JsonWriter& out) {
  RopeOf(file, keys, head_dim, out).write();
}

std::string_view gguf_rope_key(std::string_view config_key) {
  constexpr std::string_view kSection = "rope_scaling.";
  if (config_key.starts_with(kSection)) config_key.remove_prefix(kSection.size());
  constexpr RopeKey kShared[] = {{kTheta, "rope_theta"},
                                 {kScaling, "rope_type"},
                                 {kFactor, "factor"},
                                 {kOriginal, "original_max_position_embeddings"}};
  for (const RopeKey& k : kShared) {
    if (k.config == config_key) return k.key;
  }
  for (const RopeKey& k : kRopeKeys) {
    if (k.config == config_key) return k.key;
  }
  return {};
}

bool is_gguf_rope_key(std::string_view key) {
  constexpr std::string_view kRead[] = {kTheta,         kScaling,       kFactor,
                                        kOldFactor,     kOriginal,      kAttention,
                                        kExtrapolation, kLogMultiplier, kFinetuned};
  return std::find(std::begin(kRead), std::end(kRead), key) != std::end(kRead) ||
         std::any_of(std::begin(kRopeKeys), std::end(kRopeKeys),
                     [&](const RopeKey& k) { return k.key == key; });
}

}  // namespace nibble
