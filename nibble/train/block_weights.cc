#include "nibble/train/block_weights.h"

#include <algorithm>
#include <span>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/onednn/product_bf16.h"

namespace nibble {
namespace {

// A projection as it is stored, before its parts are taken.
struct Stored {
  int64_t k = 0;
  std::vector<float> weight, bias;
};

Stored load(const ParameterFinder& find, Role role, int layer) {
  const LinearMember member = find.linear({role, layer});
  Stored out{columns(member.weight), floats_of(member.weight), {}};
  if (member.bias) {
    out.bias.resize(static_cast<size_t>(member.bias->elements()));
    to_f32(*member.bias, out.bias);
  }
  find.done({role, layer});
  return out;
}

// The outputs [first, first + n) of a projection.
template <class T>
BlockMatrix<T> part(const Stored& stored, int64_t first, int64_t n, bool narrow,
                    const TrainOps<T>& ops) {
  const auto of = [&](const std::vector<float>& values, int64_t each) {
    return std::span(values).subspan(static_cast<size_t>(first * each),
                                     static_cast<size_t>(n * each));
  };
  const std::span<const float> bias = stored.bias.empty() ? stored.bias : of(stored.bias, 1);
  return make_matrix(of(stored.weight, stored.k), bias, n, narrow, ops);
}

}  // namespace

std::vector<float> floats_of(const Weight& weight) {
  const auto* quantized = std::get_if<QuantizedTensor>(&weight);
  const Tensor plain = quantized != nullptr ? dequantize(*quantized) : std::get<Tensor>(weight);
  std::vector<float> out(static_cast<size_t>(plain.elements()));
  to_f32(plain, out);
  return out;
}

template <class T>
BlockWeights<T> load_block_weights(const DecoderConfig& c, const ParameterFinder& find, int layer,
                                   bool narrow, const TrainOps<T>& ops) {
  narrow = narrow && has_bf16_products();
  BlockWeights<T> out;
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const auto whole = [&](Role role) {
    const Stored stored = load(find, role, layer);
    return part(stored, 0, std::ssize(stored.weight) / stored.k, narrow, ops);
  };
  const auto norm = [&](Role role) {
    return BlockNorm<T>{buffer_of<T>(find.vector({role, layer})),
                        buffer_of<T>(find.vector({role, layer, -1, true}))};
  };
  if (c.fused_qkv) {
    const Stored stored = load(find, Role::qkv, layer);
    out.q = part(stored, 0, q, narrow, ops);
    out.k = part(stored, q, kv, narrow, ops);
    out.v = part(stored, q + kv, kv, narrow, ops);
  } else {
    out.q = whole(Role::q);
    out.k = whole(Role::k);
    out.v = whole(Role::v);
  }
  out.o = whole(Role::o);
  if (is_gated(c.mlp)) out.gate = whole(Role::gate);
  out.up = whole(Role::up);
  out.down = whole(Role::down);
  out.attn_norm = norm(Role::attn_norm);
  out.mlp_norm = norm(Role::mlp_norm);
  out.q_norm = norm(Role::q_norm);
  out.k_norm = norm(Role::k_norm);
  out.window = layer_kind(c, layer) == LayerKind::window ? c.sliding_window : 0;
  return out;
}

template BlockWeights<float> load_block_weights(const DecoderConfig&, const ParameterFinder&, int,
                                                bool, const TrainOps<float>&);
template BlockWeights<double> load_block_weights(const DecoderConfig&, const ParameterFinder&, int,
                                                 bool, const TrainOps<double>&);

}  // namespace nibble
