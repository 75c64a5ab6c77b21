// Attention in the graph of an ONNX file: what is cached, the mask, rotations.
#include <fmt/format.h>

#include <limits>

#include "nibble/model/onnx_decoder.h"
#include "nibble/nn/rotary.h"

namespace nibble {

using Axes = std::vector<int64_t>;

namespace {

bool has_groups(const DecoderConfig& c) { return c.heads != c.kv_heads; }

}  // namespace

void OnnxDecoder::begin() {
  const auto extent = [&](const Name& of, int64_t axis) {
    return op("Gather", {op("Shape", {of}), graph_.constant(axis)});
  };
  const Name past = extent("past_key_values.0.key", 2), zero = graph_.constant(int64_t{0}),
             one = graph_.constant(int64_t{1});
  const Name total = op("Add", {past, extent("input_ids", 1)});
  rows_ = op("Unsqueeze", {op("Range", {past, total, one}), list({1})});
  columns_ = op("Range", {zero, total, one});
  const Name bits =
      op("Cast", {Name("attention_mask")}, {{"to", static_cast<int64_t>(OnnxType::boolean)}});
  seen_ = op("Unsqueeze", {bits, has_groups(config_) ? list({1, 2, 3}) : list({1, 2})});
  if (config_.position == PositionKind::rotary) turns();
}

// Cosines and sines as Rotary::angles() has them.
void OnnxDecoder::turns() {
  const Rotary rotary(config_.rope, config_.head_dim);
  const Name position =
      op("Cast", {Name("position_ids")}, {{"to", static_cast<int64_t>(OnnxType::f32)}});
  const Name angles =
      op("Mul", {op("Unsqueeze", {position, list({2})}), graph_.constant(rotary.frequencies())});
  // At position 0 the cosine is what all are multiplied by.
  std::vector<float> cos(rotary.frequencies().size()), sin(cos);
  rotary.angles(0, 1, cos.data(), sin.data());
  const auto scaled = [&](const Name& x) {
    const Name y = cos[0] == 1 ? x : op("Mul", {x, number(cos[0])});
    return op("Unsqueeze", {y, list({2})});
  };
  cos_ = scaled(op("Cos", {angles}));
  sin_ = scaled(op("Sin", {angles}));
}

// 0 where a row sees a column, the lowest float where it does not: a row that sees nothing (of
// padding) still has finite scores, and what it gives is seen by no other.
OnnxDecoder::Name OnnxDecoder::mask(int64_t window) {
  Name& out = masks_[window];
  if (!out.empty()) return out;
  graph_.scope(fmt::format("mask.{}", window));
  Name seen = op("LessOrEqual", {columns_, rows_});
  if (window > 0) {
    const Name behind = op("Sub", {rows_, columns_});
    seen = op("And", {seen, op("Less", {behind, graph_.constant(window)})});
  }
  out = op("Where",
           {op("And", {seen, seen_}), number(0), number(std::numeric_limits<float>::lowest())});
  graph_.scope(fmt::format("layers.{}", layer_));
  return out;
}

// [batch, rows, count * head_dim] as heads, normed and turned: [batch, rows, count, head_dim].
OnnxDecoder::Name OnnxDecoder::heads(const Name& x, int64_t count, int norm_index) {
  Name y = op("Reshape", {x, list({0, 0, count, config_.head_dim})});
  if (norm_index >= 0) {
    const NormPlan& n = plan_.norms[static_cast<size_t>(norm_index)];
    y = normed(y, n, {n.role, layer_});
  }
  return plan_.attention->rope >= 0 ? turned(y) : y;
}

OnnxDecoder::Name OnnxDecoder::turned(const Name& x) {
  const int64_t half = config_.head_dim / 2;
  const std::array in{x, list({half, half})};
  const std::array parts{graph_.fresh("first"), graph_.fresh("second")};
  graph_.node("Split", in, parts, std::array{OnnxAttribute{"axis", int64_t{-1}}});
  const auto& [first, second] = parts;
  return op("Concat",
            {op("Sub", {op("Mul", {first, cos_}), op("Mul", {second, sin_})}),
             op("Add", {op("Mul", {second, cos_}), op("Mul", {first, sin_})})},
            {{"axis", int64_t{-1}}});
}

// [batch, rows, kv_heads, head_dim] behind what is cached: [batch, kv_heads, total, head_dim].
OnnxDecoder::Name OnnxDecoder::cached(const Name& x, std::string_view what) {
  Name present = fmt::format("present.{}.{}", layer_, what);
  const std::array in{fmt::format("past_key_values.{}.{}", layer_, what),
                      op("Transpose", {x}, {{"perm", Axes{0, 2, 1, 3}}})};
  graph_.node("Concat", in, std::array{present}, std::array{OnnxAttribute{"axis", int64_t{2}}});
  return present;
}

// Where several query heads read one key, those are an extent of their own, which products
// broadcast over: no key is copied.
void OnnxDecoder::attend() {
  const AttentionPlan& a = *plan_.attention;
  const auto& [heads_of_q, kv_heads, head_dim, value_dim] = a.rule.shape;
  const bool groups = has_groups(config_);
  Name q = heads(buffer(BufferId::q), heads_of_q, a.q_norm);
  const Name k = cached(heads(buffer(BufferId::k), kv_heads, a.k_norm), "key");
  const Name v =
      cached(op("Reshape", {buffer(BufferId::v), list({0, 0, kv_heads, head_dim})}), "value");
  if (groups) q = op("Reshape", {q, list({0, 0, kv_heads, heads_of_q / kv_heads, head_dim})});
  q = op("Transpose", {q}, {{"perm", groups ? Axes{0, 2, 3, 1, 4} : Axes{0, 2, 1, 3}}});
  const auto shared = [&](const Name& x) { return groups ? op("Unsqueeze", {x, list({2})}) : x; };
  const Name turned_k = shared(op("Transpose", {k}, {{"perm", Axes{0, 1, 3, 2}}}));
  Name scores = op("Mul", {op("MatMul", {q, turned_k}), number(double{a.rule.scale})});
  scores = op("Add", {capped(scores, double{a.rule.softcap}), mask(a.rule.window)});
  const Name p = op("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const Name mixed = op("Transpose", {op("MatMul", {p, shared(v)})},
                        {{"perm", groups ? Axes{0, 3, 1, 2, 4} : Axes{0, 2, 1, 3}}});
  buffer(BufferId::mixed) = op("Reshape", {mixed, list({0, 0, heads_of_q * head_dim})});
}

}  // namespace nibble
