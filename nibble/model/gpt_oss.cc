// gpt-oss (OpenAI 2025): a mixture of experts with biases and a clamped SwiGLU; every other layer
// sees a window, and each head has a sink.
#include <fmt/format.h>

#include <cmath>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/nn/gate.h"

namespace nibble::gpt_oss {
namespace {

constexpr hf::NameRow kNames[] = {{Role::router, "mlp.router"},
                                  {Role::sinks, "self_attn.sinks", true}};

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({kNames, hf::kExpertNames}, key);
}

constexpr double kTheta = 150000;
constexpr int64_t kWindow = 128, kPattern = 2, kHeadDim = 64;

// Where neither rope_parameters nor rope_scaling is there.
RopeConfig default_rope() {
  RopeConfig r;
  r.theta = kTheta;
  r.scaling = RopeScaling::yarn;
  r.factor = 32;
  r.original_context = 4096;
  r.truncate = false;
  return r;
}

void require_number(const JsonFields& f, std::string_view key, double expected) {
  const double found = f.number_or(key, expected);
  if (std::abs(found - expected) < 1e-6) return;
  throw unsupported(fmt::format("{} cannot be run (expected {})", found, expected))
      .at(hf::at_key(key));
}

// Names that files have beside those that transformers reads.
void check_doubles(const JsonFields& f, const DecoderConfig& c) {
  require_number(f, "experts_per_token", static_cast<double>(c.experts_per_token));
  if (c.rope.original_context > 0)
    require_number(f, "initial_context_length", static_cast<double>(c.rope.original_context));
}

DecoderConfig read_config(const JsonFields& f) {
  hf::require_text(f, "hidden_act", "silu");
  require_number(f, "swiglu_alpha", double{kClampedSlope});
  require_number(f, "swiglu_limit", double{kClampedLimit});
  DecoderConfig c = hf::read_llama_like(f, "gpt_oss", kTheta);
  if (!f.has_section("rope_parameters") && !f.has_section("rope_scaling")) {
    const double theta = c.rope.theta;
    c.rope = default_rope();
    c.rope.theta = theta;
  }
  if (!f.contains("head_dim")) c.head_dim = kHeadDim;
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.mlp = MlpKind::clamped_gated;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", true);
  c.mlp_bias = c.router.bias = c.attention_sinks = true;
  c.experts = hf::experts(f);
  c.experts_per_token = hf::size(f, "num_experts_per_tok");
  hf::read_window_pattern(f, kPattern, c);
  if (!f.contains("sliding_window")) c.sliding_window = kWindow;
  check_doubles(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  DecoderConfig plain = c;  // whose activation has a name
  plain.mlp = MlpKind::silu_gated;
  hf::write_llama_like(plain, out);
  out.field("attention_bias", c.qkv_bias);
  out.field("num_local_experts", c.experts);
  out.field("num_experts_per_tok", c.experts_per_token);
  out.field("sliding_window", c.sliding_window);
  hf::write_layer_types(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGptOss{"gpt_oss", read_config,     write_config, tensor_name,
                                    false,     "model.",        false,        hf::kExpertTraining,
                                    nullptr,   Stacking::turned};
  return kGptOss;
}

}  // namespace nibble::gpt_oss
