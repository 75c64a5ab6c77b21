#include "nibble/model/onnx_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nibble {

using Axes = std::vector<int64_t>;

void require_onnx_decoder(const DecoderConfig& c) {
  const auto refuse = [&](std::string_view what) {
    throw unsupported(
        fmt::format("the ONNX files of nibble have no {} ({})", what, c.architecture));
  };
  if (c.experts > 0) refuse("layers of experts");
  const auto has = [&](LayerKind kind) {
    return std::find(c.layer_kinds.begin(), c.layer_kinds.end(), kind) != c.layer_kinds.end();
  };
  if (has(LayerKind::convolution)) refuse("short convolutions");
  if (has(LayerKind::delta)) refuse("delta layers");
  if (has(LayerKind::mamba) || has(LayerKind::mamba_beside)) refuse("Mamba2 layers");
  if (!c.feeds.empty() || has(LayerKind::none)) refuse("layers that are one half");
  if (c.gate_scale != 1 || c.down_scale != 1) refuse("scales of a gate");
  if (c.latent.kv_rank > 0) refuse("latent attention");
  if (!c.pre_norms || c.halves != Halves::in_turn || c.residual_scale != 1)
    refuse("residual streams of this kind");
  if (c.qk_norm == QkNorm::rows || c.qk_norm == QkNorm::turned_heads)
    refuse("norms of queries and keys of this kind");
  if (c.qkv_by_head || c.attention_gate || c.fused_gate_up) refuse("fused matrices of this kind");
  if (c.query_beta != 0 || c.logit_scale != 1) refuse("scales of queries or logits");
  const auto& r = c.rope;
  if (!c.turned.empty() || c.window_rope || r.part != 1 || r.neighbours || !r.long_factors.empty())
    refuse("rotary positions of this kind");
}

void OnnxDecoder::add() {
  declare();
  graph_.scope("model");
  begin();
  Name stream = embedded();
  for (int i = 0; i < config_.layers; ++i) {
    buffer(BufferId::stream) = stream;
    layer(i);
    stream = buffer(BufferId::stream);
  }
  head(stream);
}

void OnnxDecoder::declare() {
  const auto ids = [&](const char* name, const char* columns) {
    graph_.input({name, OnnxType::i64, {"batch_size", columns}});
  };
  ids("input_ids", "sequence_length");
  ids("attention_mask", "total_sequence_length");
  ids("position_ids", "sequence_length");
  graph_.output({"logits", OnnxType::f32, {"batch_size", "sequence_length", config_.vocab_size}});
  for (int i = 0; i < config_.layers; ++i) {
    for (const char* what : {"key", "value"}) {
      const auto cache = [&](std::string_view of, const char* length) -> OnnxValue {
        return {fmt::format("{}.{}.{}", of, i, what),
                OnnxType::f32,
                {"batch_size", config_.kv_heads, length, config_.head_dim}};
      };
      graph_.input(cache("past_key_values", "past_sequence_length"));
      graph_.output(cache("present", "total_sequence_length"));
    }
  }
}

NormPlan OnnxDecoder::of_stream(Role role) const {
  return {role, config_.norm, config_.norm_eps, config_.hidden_size, false, false};
}

OnnxDecoder::Name OnnxDecoder::embedded() {
  const ParamKey tokens{Role::token_embedding}, positions{Role::position_embedding};
  Name x = parameters_.look_up("input_ids", tokens);
  if (config_.embedding_scale != 1) x = op("Mul", {x, number(config_.embedding_scale)});
  if (config_.position == PositionKind::learned) {
    Name ids = "position_ids";
    if (config_.position_offset != 0)
      ids = op("Add", {ids, graph_.constant(config_.position_offset)});
    x = op("Add", {x, parameters_.look_up(ids, positions)});
  }
  if (!config_.embedding_norm) return x;
  return normed(x, of_stream(Role::embedding_norm), {Role::embedding_norm});
}

void OnnxDecoder::layer(int index) {
  graph_.scope(fmt::format("layers.{}", index));
  layer_ = index;
  plan_ = layer_plan(config_, index);
  for (const Step& step : plan_.steps) run(step);
}

void OnnxDecoder::head(const Name& stream) {
  graph_.scope("head");
  Name x = stream;
  if (config_.final_norm) x = normed(x, of_stream(Role::final_norm), {Role::final_norm});
  x = parameters_.multiply(x, {config_.tied ? Role::token_embedding : Role::lm_head});
  x = capped(x, config_.final_softcap);
  graph_.node("Identity", std::array{x}, std::array<Name, 1>{"logits"});
}

void OnnxDecoder::run(const Step& step) {
  switch (step.op) {
    case Op::norm:
      return norm(step);
    case Op::project:
      return project(step);
    case Op::attend:
      return attend();
    default:
      break;
  }
  NIBBLE_CHECK(false && "refused by require_onnx_decoder()");
}

void OnnxDecoder::norm(const Step& step) {
  const NormPlan& n = plan_.norms[static_cast<size_t>(step.index)];
  const Name y = normed(buffer(step.in), n, {n.role, layer_});
  buffer(step.out) = step.adds ? op("Add", {buffer(step.out), y}) : y;
}

// In the nodes that onnxruntime knows as one.
OnnxDecoder::Name OnnxDecoder::normed(const Name& of, const NormPlan& n, const ParamKey& key) {
  const std::vector<OnnxAttribute> last{{"axes", Axes{-1}}, {"keepdims", int64_t{1}}};
  Name x = of;
  if (n.kind == NormKind::layer) x = op("Sub", {x, op("ReduceMean", {x}, last)});
  const Name square = op("ReduceMean", {op("Pow", {x, number(2)})}, last);
  const Name root = op("Sqrt", {op("Add", {square, number(n.eps)})});
  x = op("Div", {x, root});
  const ParamKey bias = key.with_bias(true);
  if (parameters_.has(key)) x = op("Mul", {x, parameters_.vector(key)});
  return parameters_.has(bias) ? op("Add", {x, parameters_.vector(bias)}) : x;
}

void OnnxDecoder::project(const Step& step) {
  const Site& site = plan_.site(step);
  for (const SiteMember& m : site.members) {
    const Name y = parameters_.multiply(buffer(site.in), {m.role, layer_});
    buffer(m.out) = step.adds ? op("Add", {buffer(m.out), y}) : y;
  }
  Name& up = buffer(site.members.back().out);
  up = ended(step.end, buffer(site.members.front().out), up);
  const BufferPlan& q = plan_.buffer(BufferId::q);
  if (!q.within || site.members.front().out != *q.within) return;
  const int64_t kv = plan_.buffer(BufferId::k).width;
  const std::array in{buffer(*q.within), list({q.width, kv, kv})};
  const std::array parts{graph_.fresh("q"), graph_.fresh("k"), graph_.fresh("v")};
  graph_.node("Split", in, parts, std::array{OnnxAttribute{"axis", int64_t{-1}}});
  buffer(BufferId::q) = parts[0];
  buffer(BufferId::k) = parts[1];
  buffer(BufferId::v) = parts[2];
}

OnnxDecoder::Name OnnxDecoder::ended(LinearEnd end, const Name& gate, const Name& up) {
  switch (end) {
    case LinearEnd::none:
      return up;
    case LinearEnd::relu:
      return op("Relu", {up});
    case LinearEnd::relu_squared: {
      const Name positive = op("Relu", {up});
      return op("Mul", {positive, positive});
    }
    case LinearEnd::gelu: {
      const Name erf = op("Erf", {op("Div", {up, number(std::numbers::sqrt2)})});
      return op("Mul", {op("Mul", {up, op("Add", {erf, number(1)})}), number(0.5)});
    }
    case LinearEnd::gelu_tanh:
      return gelu_tanh(up);
    case LinearEnd::silu_gate:
      return op("Mul", {op("Mul", {gate, op("Sigmoid", {gate})}), up});
    case LinearEnd::gelu_tanh_gate:
      return op("Mul", {gelu_tanh(gate), up});
    case LinearEnd::clamped_gate:
      break;  // only experts have it, which have no nodes
  }
  NIBBLE_CHECK(false && "an end without nodes");
  return up;
}

OnnxDecoder::Name OnnxDecoder::gelu_tanh(const Name& x) {
  const Name cube = op("Mul", {op("Pow", {x, number(3)}), number(0.044715)});
  const Name inner = op("Mul", {op("Add", {x, cube}), number(std::sqrt(2 / std::numbers::pi))});
  const Name outer = op("Add", {op("Tanh", {inner}), number(1)});
  return op("Mul", {op("Mul", {x, outer}), number(0.5)});
}

OnnxDecoder::Name OnnxDecoder::capped(const Name& x, double cap) {
  if (cap <= 0) return x;
  return op("Mul", {op("Tanh", {op("Div", {x, number(cap)})}), number(cap)});
}

}  // namespace nibble
