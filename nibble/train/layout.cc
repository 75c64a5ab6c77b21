#include "nibble/train/layout.h"

#include <fmt/format.h>

#include "nibble/core/error.h"
#include "nibble/kernels/train.h"
#include "nibble/train/buffer.h"

namespace nibble {
namespace {

void require_supported(const DecoderConfig& c) {
  const auto refuse = [](std::string_view what) {
    throw unsupported(fmt::format("training does not know {} yet", what));
  };
  if (c.position != PositionKind::learned) refuse("rotary positions (it knows learned ones)");
  if (is_gated(c.mlp)) refuse("gated MLPs (it knows relu and gelu_tanh)");
  if (c.mlp == MlpKind::gelu) refuse("the exact GELU (it knows relu and gelu_tanh)");
  if (c.position_offset != 0) refuse("positions with an offset");
  if (c.qk_norm) refuse("norms of queries and keys");
  if (c.sliding_window != 0) refuse("sliding windows");
  if (c.experts > 0) refuse("mixtures of experts");
  if (c.post_norms) refuse("norms behind each half of a layer");
  if (c.kv_heads != c.heads) refuse("grouped key/value heads (kv_heads must be heads)");
}

class LayoutBuilder {
 public:
  explicit LayoutBuilder(const DecoderConfig& config) {
    out_.config = config;
    out_.table = parameter_table(config);
    out_.blocks.resize(static_cast<size_t>(config.layers));
  }

  ParamLayout build() {
    // q, k and v side by side are one matrix.
    out_.place([](const ParamSpec& p) { return p.role == Role::k || p.role == Role::v; });
    for (size_t i = 0; i < out_.table.size(); ++i) remember(out_.table[i], out_.offsets[i]);
    const DecoderConfig& c = out_.config;
    if (c.tied) out_.head = {out_.wte, -1, c.vocab_size, c.hidden_size, -1, 0};
    for (BlockSlots& b : out_.blocks) {
      for (MatrixSlot* m : {&b.qkv, &b.o, &b.up, &b.down}) out_.add_product(*m);
    }
    out_.add_product(out_.head);
    return std::move(out_);
  }

 private:
  void remember(const ParamSpec& p, int64_t at) {
    BlockSlots* block = p.layer >= 0 ? &out_.blocks[static_cast<size_t>(p.layer)] : nullptr;
    const auto matrix = [&](MatrixSlot& slot) {
      int64_t& where = p.bias ? slot.bias : slot.weight;
      if (where < 0) where = at;
      if (!p.bias) slot.n += p.shape[0], slot.k = p.shape[1];
    };
    const auto norm = [&](NormSlot& slot) { (p.bias ? slot.bias : slot.gain) = at; };
    switch (p.role) {
      case Role::token_embedding:
        out_.wte = at;
        break;
      case Role::position_embedding:
        out_.wpe = at;
        break;
      case Role::embedding_norm:
        norm(out_.embedding_norm);
        break;
      case Role::attn_norm:
        norm(block->attn_norm);
        break;
      case Role::qkv:
      case Role::q:
      case Role::k:
      case Role::v:
        matrix(block->qkv);
        break;
      case Role::o:
        matrix(block->o);
        break;
      case Role::mlp_norm:
        norm(block->mlp_norm);
        break;
      case Role::up:
        matrix(block->up);
        break;
      case Role::down:
        matrix(block->down);
        break;
      case Role::final_norm:
        norm(out_.final_norm);
        break;
      case Role::lm_head:
        matrix(out_.head);
        break;
      default:
        NIBBLE_CHECK(false && "refused before");
    }
  }

  ParamLayout out_;
};

}  // namespace

void FlatLayout::place(bool (*joined)(const ParamSpec&)) {
  offsets.assign(table.size(), 0);
  for (bool matrices : {true, false}) {
    for (size_t i = 0; i < table.size(); ++i) {
      if (table[i].is_matrix() != matrices) continue;
      if (!joined(table[i])) size = round_up(size, kTrainAlign);
      offsets[i] = size;
      size += table[i].shape.elements();
    }
    size = round_up(size, kTrainAlign);
    if (matrices) matrices_end = size;
  }
}

void FlatLayout::add_product(MatrixSlot& m) {
  m.ld = round_up(m.n, kTrainAlign);
  m.transposed = transposed_size;
  transposed_size += m.ld * m.k;
  products.push_back(m);
}

ParamLayout make_layout(const DecoderConfig& config) {
  validate(config);
  require_supported(config);
  return LayoutBuilder(config).build();
}

template <class T>
TensorMap export_weights(const FlatLayout& layout, const T* flat) {
  TensorMap out;
  for (size_t i = 0; i < layout.table.size(); ++i) {
    Tensor tensor(DType::f32, layout.table[i].shape);
    const T* from = flat + layout.offsets[i];
    std::transform(from, from + tensor.elements(), tensor.mutable_data<float>().begin(),
                   [](T x) { return static_cast<float>(x); });
    out.emplace(layout.table[i].name, std::move(tensor));
  }
  return out;
}

template TensorMap export_weights(const FlatLayout&, const float*);
template TensorMap export_weights(const FlatLayout&, const double*);

}  // namespace nibble
