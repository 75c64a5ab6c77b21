#include "nibble/model/rotate_model.h"

#include <map>
#include <tuple>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/fold.h"
#include "nibble/quant/rotate.h"

namespace nibble {
namespace {

using Turn = std::shared_ptr<const Rotation>;

// Every row, which lies in the rotated space.
TensorChange turn_rows(Turn turn) {
  return [turn = std::move(turn)](const Shape&, std::span<float> values) {
    const auto width = static_cast<size_t>(turn->width());
    NIBBLE_CHECK(values.size() % width == 0);
    for (size_t at = 0; at < values.size(); at += width) turn->apply(values.subspan(at, width));
  };
}

// Every column of rows [first, first + count), which is made of blocks of the rotated space. A
// vector is one column.
TensorChange turn_columns(Turn turn, int64_t first, int64_t count) {
  return [turn = std::move(turn), first, count](const Shape& shape, std::span<float> values) {
    const auto k = shape.rank() == 2 ? static_cast<size_t>(shape[1]) : size_t{1};
    const auto width = static_cast<size_t>(turn->width());
    std::vector<float> column(width);
    for (auto begin = static_cast<size_t>(first); begin < static_cast<size_t>(first + count);
         begin += width) {
      for (size_t j = 0; j < k; ++j) {
        for (size_t i = 0; i < width; ++i) column[i] = values[(begin + i) * k + j];
        turn->apply(column);
        for (size_t i = 0; i < width; ++i) values[(begin + i) * k + j] = column[i];
      }
    }
  };
}

TensorChange multiply_columns(std::vector<float> by) {
  return [by = std::move(by)](const Shape&, std::span<float> values) {
    for (size_t i = 0; i < values.size(); ++i) values[i] *= by[i % by.size()];
  };
}

void become_one(const Shape&, std::span<float> values) {
  for (float& v : values) v = 1;
}

class Turning {
 public:
  Turning(const ModelFolder& model, uint64_t seed)
      : model_(model),
        config_(model.decoder_config()),
        stream_(std::make_shared<const Rotation>(config_.hidden_size, seed)),
        head_(std::make_shared<const Rotation>(config_.head_dim, seed + 1)) {
    for (const ParamSpec& p : parameter_table(config_))
      specs_.emplace(std::tuple(p.role, p.layer, p.bias), p);
  }

  ModelFolder run() {
    if (config_.norm == NormKind::layer || config_.norm_bias)
      throw unsupported(
          "rotate needs RMSNorm: LayerNorm subtracts the mean of the channels, which "
          "a rotation changes; use awq or gptq")
          .in_file(model_.path);
    untie();
    rows(Role::token_embedding, -1);
    rows(Role::position_embedding, -1);
    if (config_.embedding_norm) refuse_gain(Role::embedding_norm);
    for (int layer = 0; layer < config_.layers; ++layer) block(layer);
    if (!config_.tied) reader(Role::lm_head, -1, Role::final_norm, -1);
    drop_gain(Role::final_norm, -1);
    ModelFolder out = with_changes(model_, std::move(changes_));
    out.config = config_;
    return out;
  }

 private:
  const ParamSpec* find(Role role, int layer, bool bias) const {
    const auto found = specs_.find(std::tuple(role, layer, bias));
    return found == specs_.end() ? nullptr : &found->second;
  }
  void change(const ParamSpec* p, TensorChange f) {
    if (p != nullptr) changes_.changes[p->name].push_back(std::move(f));
  }
  void rows(Role role, int layer) { change(find(role, layer, false), turn_rows(stream_)); }
  void drop_gain(Role role, int layer) { change(find(role, layer, false), become_one); }

  // The gain would have to be applied between two rotations.
  void refuse_gain(Role role) {
    if (find(role, -1, false) == nullptr) return;
    throw unsupported("rotate: the norm behind the embeddings has a gain").in_file(model_.path);
  }

  void untie() {
    if (!config_.tied || find(Role::final_norm, -1, false) == nullptr) return;
    config_.tied = false;
    for (const ParamSpec& p : parameter_table(config_)) {
      if (p.role != Role::lm_head) continue;
      specs_.emplace(std::tuple(p.role, p.layer, p.bias), p);
      changes_.copies.emplace(p.name, find(Role::token_embedding, -1, false)->name);
    }
  }

  // W reads norm(x) * gain: W diag(gain) R.
  void reader(Role role, int layer, Role norm, int norm_layer) {
    const ParamSpec* w = find(role, layer, false);
    if (w == nullptr) return;
    if (const ParamSpec* gain = find(norm, norm_layer, false)) {
      const Tensor stored = model_.tensors->get(gain->name);
      std::vector<float> values(static_cast<size_t>(stored.elements()));
      to_f32(stored, values);
      change(w, multiply_columns(std::move(values)));
    }
    change(w, turn_rows(stream_));
  }

  // W writes to the residual stream: R^T W, and its bias b R.
  void writer(Role role, int layer) {
    for (const bool bias : {false, true})
      change(find(role, layer, bias), turn_columns(stream_, 0, config_.hidden_size));
  }

  // Values are turned head by head, and back in what reads their mixture.
  void values(int layer) {
    const int64_t q = config_.heads * config_.head_dim, kv = config_.kv_heads * config_.head_dim;
    const Role role = config_.fused_qkv ? Role::qkv : Role::v;
    for (const bool bias : {false, true})
      change(find(role, layer, bias), turn_columns(head_, config_.fused_qkv ? q + kv : 0, kv));
    change(find(Role::o, layer, false), turn_rows(head_));
  }

  void block(int layer) {
    for (const Role role : {Role::qkv, Role::q, Role::k, Role::v})
      reader(role, layer, Role::attn_norm, layer);
    for (const Role role : {Role::gate, Role::up}) reader(role, layer, Role::mlp_norm, layer);
    drop_gain(Role::attn_norm, layer);
    drop_gain(Role::mlp_norm, layer);
    values(layer);
    writer(Role::o, layer);
    writer(Role::down, layer);
  }

  const ModelFolder& model_;
  DecoderConfig config_;
  const Turn stream_, head_;
  std::map<std::tuple<Role, int, bool>, ParamSpec> specs_;
  TensorChanges changes_;
};

}  // namespace

ModelFolder rotated_model(const ModelFolder& model, uint64_t seed) {
  return Turning(model, seed).run();
}

}  // namespace nibble
