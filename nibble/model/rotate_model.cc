#include "nibble/model/rotate_model.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/fold.h"
#include "nibble/model/layer_plan.h"
#include "nibble/quant/rotate.h"

namespace nibble {
namespace {

using Turn = std::shared_ptr<const Rotation>;

// Every row, which lies in the rotated space.
WeightChange turn_rows(Turn turn) {
  return [turn = std::move(turn)](const Shape&, std::span<float> values) {
    const auto width = static_cast<size_t>(turn->width());
    NIBBLE_CHECK(values.size() % width == 0);
    for (size_t at = 0; at < values.size(); at += width) turn->apply(values.subspan(at, width));
  };
}

// Rows of a matrix, in blocks that begin `step` rows behind each other.
struct RowBlocks {
  int64_t first = 0, count = 1, step = 0;
};

// Every column of blocks of rows, each as wide as the rotated space. A vector is one column.
WeightChange turn_columns(Turn turn, RowBlocks blocks = {}) {
  return [turn = std::move(turn), blocks](const Shape& shape, std::span<float> values) {
    const auto k = shape.rank() == 2 ? static_cast<size_t>(shape[1]) : size_t{1};
    const auto width = static_cast<size_t>(turn->width());
    std::vector<float> column(width);
    for (int64_t b = 0; b < blocks.count; ++b) {
      const auto begin = static_cast<size_t>(blocks.first + b * blocks.step);
      for (size_t j = 0; j < k; ++j) {
        for (size_t i = 0; i < width; ++i) column[i] = values[(begin + i) * k + j];
        turn->apply(column);
        for (size_t i = 0; i < width; ++i) values[(begin + i) * k + j] = column[i];
      }
    }
  };
}

WeightChange multiply_columns(std::vector<float> by) {
  return [by = std::move(by)](const Shape&, std::span<float> values) {
    for (size_t i = 0; i < values.size(); ++i) values[i] *= by[i % by.size()];
  };
}

void become_one(const Shape&, std::span<float> values) {
  for (float& v : values) v = 1;
}

int64_t value_dim(const DecoderConfig& c) {
  return c.latent.value_dim > 0 ? c.latent.value_dim : c.head_dim;
}

class Turning {
 public:
  Turning(const Model& model, uint64_t seed)
      : model_(model),
        config_(model.decoder_config()),
        stream_(std::make_shared<const Rotation>(config_.hidden_size, seed)),
        head_(std::make_shared<const Rotation>(value_dim(config_), seed + 1)) {
    for (const ParamSpec& p : parameter_table(config_)) specs_.emplace(p, p);
  }

  Model run() {
    if (config_.norm == NormKind::layer || config_.norm_bias)
      throw unsupported(
          "rotate needs RMSNorm: LayerNorm subtracts the mean of the channels, which "
          "a rotation changes; use awq or gptq")
          .in_file(model_.path);
    untie();
    rows(Role::token_embedding);
    rows(Role::position_embedding);
    if (config_.embedding_norm) refuse_gain({Role::embedding_norm}, "behind the embeddings");
    for (int i = 0; i < config_.layers; ++i) layer(layer_plan(config_, i), i);
    if (!config_.tied) reader({Role::lm_head}, {Role::final_norm});
    drop_gain({Role::final_norm});
    Model out = with_changes(model_, std::move(changes_));
    out.config = config_;
    return out;
  }

 private:
  const ParamSpec* find(const ParamKey& key) const {
    const auto found = specs_.find(key);
    return found == specs_.end() ? nullptr : &found->second;
  }
  void change(const ParamSpec* p, WeightChange f) {
    if (p != nullptr) changes_.changes[p->name].push_back(std::move(f));
  }
  void rows(Role role) { change(find({role}), turn_rows(stream_)); }
  void drop_gain(const ParamKey& key) { change(find(key), become_one); }

  // The gain would have to be applied between two rotations.
  void refuse_gain(const ParamKey& key, std::string_view where) const {
    if (find(key) == nullptr) return;
    throw unsupported(fmt::format("rotate: the norm {} has a gain", where)).in_file(model_.path);
  }

  void untie() {
    if (!config_.tied || find({Role::final_norm}) == nullptr) return;
    config_.tied = false;
    for (const ParamSpec& p : parameter_table(config_)) {
      if (p.role != Role::lm_head) continue;
      specs_.emplace(p, p);
      changes_.copies.emplace(p.name, find({Role::token_embedding})->name);
    }
  }

  // W reads norm(x) * gain: W diag(gain) R.
  void reader(const ParamKey& key, const ParamKey& norm) {
    const ParamSpec* w = find(key);
    if (w == nullptr) return;
    if (const ParamSpec* gain = find(norm)) {
      change(w, multiply_columns(model_.weights->get(gain->name).values()));
    }
    change(w, turn_rows(stream_));
  }

  // W writes to the residual stream: R^T W, and its bias b R.
  void writer(const ParamKey& key) {
    for (const bool bias : {false, true}) change(find(key.with_bias(bias)), turn_columns(stream_));
  }

  // Values are turned head by head, and back in what reads their mixture.
  void values(const LayerPlan& plan, int layer) {
    const BufferPlan& v = plan.buffer(BufferId::v);
    if (config_.attention_gate || config_.v_norm) return;  // they may stay as they are
    const ParamKey key{role_of(plan, BufferId::v), layer};
    const int64_t d = head_->width(), step = v.is_whole() ? d : v.step;
    for (const bool bias : {false, true})
      change(find(key.with_bias(bias)), turn_columns(head_, {v.first, v.width / d, step}));
    change(find({Role::o, layer}), turn_rows(head_));
  }

  // Norms and matrices between the small numbers of latent attention and its heads: neither reads
  // the stream nor joins it.
  static bool is_inside(BufferId in) {
    return in == BufferId::q_down || in == BufferId::q_latent || in == BufferId::kv_part ||
           in == BufferId::kv_latent;
  }

  // A norm of the stream is folded into all that reads it, which is turned; a norm in front of the
  // stream must have no gain. What joins the stream is turned.
  void layer(const LayerPlan& plan, int layer) {
    const auto key_of_norm = [&](const Step& step) {
      return ParamKey{plan.norms[static_cast<size_t>(step.index)].role, layer};
    };
    for (const Step& step : plan.steps) {
      if (step.op == Op::norm && step.adds)
        refuse_gain(key_of_norm(step), "in front of the residual stream");
    }
    ParamKey norm;
    for (const Step& step : plan.steps) {
      if (is_inside(step.in)) continue;
      if (step.op == Op::norm && !step.adds) drop_gain(norm = key_of_norm(step));
      if (step.op == Op::add && step.out == BufferId::normed) norm = {Role::attn_norm, layer};
      if (step.op == Op::gate_rows) reader({Role::shared_router, layer}, norm);
      if (step.op == Op::route) reader({Role::router, layer}, norm);
      if (step.op == Op::attend) values(plan, layer);
      if (step.op == Op::project) site(plan, plan.site(step), layer, norm);
    }
  }

  void site(const LayerPlan& plan, const Site& site, int layer, const ParamKey& norm) {
    const bool reads = site.in == BufferId::normed || site.in == BufferId::gathered;
    for (int e = 0; e < plan.copies(site); ++e) {
      for (const SiteMember& m : site.members) {
        const ParamKey key{m.role, layer, site.experts ? e : -1};
        reads ? reader(key, norm) : writer(key);
      }
    }
  }

  const Model& model_;
  DecoderConfig config_;
  const Turn stream_, head_;
  std::map<ParamKey, ParamSpec> specs_;
  WeightChanges changes_;
};

}  // namespace

Model rotated_model(const Model& model, uint64_t seed) { return Turning(model, seed).run(); }

}  // namespace nibble
