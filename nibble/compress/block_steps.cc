#include "nibble/compress/block_steps.h"

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"
#include "nibble/nn/attention.h"

namespace nibble {
namespace {

LinearEnd end_of(MlpKind kind) {
  switch (kind) {
    case MlpKind::relu:
      return LinearEnd::relu;
    case MlpKind::gelu:
      return LinearEnd::gelu;
    case MlpKind::gelu_tanh:
      return LinearEnd::gelu_tanh;
    case MlpKind::silu_gated:
      return LinearEnd::silu_gate;
  }
  NIBBLE_CHECK(false && "an MLP without a row");
  return LinearEnd::none;
}

// A product on the calling thread alone.
void product(const LinearGroup& group, const float* x, int64_t m, const LinearOutput& out) {
  const auto bytes = static_cast<size_t>(group.workspace_bytes(m, 1));
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  const std::unique_ptr<std::byte, Free> workspace(
      static_cast<std::byte*>(std::aligned_alloc(64, (bytes / 64 + 1) * 64)));
  if (workspace == nullptr) throw std::bad_alloc();
  run_team(1, [&](Team& team) { group.forward(x, m, out, workspace.get(), team); });
}

void rms_norm(double eps, const std::vector<float>& gain, float* x, int64_t width) {
  best_layer_ops().rms_norm(x, width, gain.empty() ? nullptr : gain.data(), nullptr,
                            static_cast<float>(eps), x);
}

}  // namespace

std::vector<Role> roles_of(const DecoderConfig& config, Stage stage) {
  switch (stage) {
    case Stage::qkv:
      return config.fused_qkv ? std::vector{Role::qkv} : std::vector{Role::q, Role::k, Role::v};
    case Stage::o:
      return {Role::o};
    case Stage::up:
      return config.mlp == MlpKind::silu_gated ? std::vector{Role::gate, Role::up}
                                               : std::vector{Role::up};
    case Stage::down:
      return {Role::down};
  }
  NIBBLE_CHECK(false && "a stage without a row");
  return {};
}

LinearGroup& group_of(Block& block, Stage stage) {
  LinearGroup* const groups[] = {&block.qkv, &block.o, &block.up, &block.down};
  return *groups[static_cast<size_t>(stage)];
}

BlockSteps::BlockSteps(const DecoderConfig& config)
    : config_(config), shape_{config.heads, config.kv_heads, config.head_dim} {
  if (config.position == PositionKind::rotary) rotary_ = Rotary(config.rope, config.head_dim);
}

std::vector<float> BlockSteps::norm(std::span<const float> x, std::span<const float> gain,
                                    std::span<const float> bias) const {
  std::vector<float> out(x.size());
  const auto width = static_cast<size_t>(config_.hidden_size);
  for (size_t at = 0; at < x.size(); at += width)
    normalize(config_, x.data() + at, gain, bias, out.data() + at);
  return out;
}

std::vector<float> BlockSteps::input(const Block& block, Stage stage, std::span<const float> x,
                                     std::span<const float> before) const {
  switch (stage) {
    case Stage::qkv:
      return norm(x, block.attn_gain, block.attn_bias);
    case Stage::o:
      return mixed(block, before);
    case Stage::up:
      return norm(x, block.mlp_gain, block.mlp_bias);
    case Stage::down:
      return activated(block, before);
  }
  NIBBLE_CHECK(false && "a stage without a row");
  return {};
}

std::vector<float> BlockSteps::mixed(const Block& block, std::span<const float> h) const {
  const int64_t m = static_cast<int64_t>(h.size()) / config_.hidden_size, d = shape_.head_dim;
  const int64_t q = shape_.heads * d, kv = shape_.kv_heads * d, all = q + 2 * kv;
  const bool fused = config_.fused_qkv;
  std::vector<float> memory(static_cast<size_t>(m * all));
  float* const at_q = memory.data();
  float* const at_k = at_q + (fused ? q : m * q);
  float* const at_v = at_k + (fused ? kv : m * kv);
  const int64_t q_stride = fused ? all : q, kv_stride = fused ? all : kv;
  float* const outputs[] = {at_q, at_k, at_v};
  product(block.qkv, h.data(), m, {std::span(outputs).first(block.qkv.size())});
  KvCache cache(1, m, shape_);
  cache.advance(m);
  std::vector<float> cos(static_cast<size_t>(d)), sin(cos.size());
  const auto norm_head = [&](const std::vector<float>& gain, float* x) {
    if (config_.qk_norm) rms_norm(config_.norm_eps, gain, x, d);
  };
  for (int64_t r = 0; r < m; ++r) {
    float *const row_q = at_q + r * q_stride, *const row_k = at_k + r * kv_stride;
    for (int64_t i = 0; i < shape_.heads; ++i) norm_head(block.q_gain, row_q + i * d);
    for (int64_t i = 0; i < shape_.kv_heads; ++i) norm_head(block.k_gain, row_k + i * d);
    if (config_.position == PositionKind::rotary) {
      rotary_.angles(r, cos.data(), sin.data());
      rotary_.apply(cos.data(), sin.data(), shape_.heads, row_q);
      rotary_.apply(cos.data(), sin.data(), shape_.kv_heads, row_k);
    }
    for (int64_t i = 0; i < shape_.kv_heads; ++i)
      cache.write(0, i, r, row_k + i * d, at_v + r * kv_stride + i * d);
  }
  std::vector<float> out(static_cast<size_t>(m * q));
  attend({at_q, q_stride, m, 0}, cache, 0, shape_, block.window, out, Exec{});
  return out;
}

std::vector<float> BlockSteps::activated(const Block& block, std::span<const float> h) const {
  const int64_t m = static_cast<int64_t>(h.size()) / config_.hidden_size;
  std::vector<float> up(static_cast<size_t>(m * config_.intermediate_size)), gate;
  const bool gated = config_.mlp == MlpKind::silu_gated;
  if (gated) gate.resize(up.size());
  float* const outputs[] = {gated ? gate.data() : up.data(), up.data()};
  product(block.up, h.data(), m,
          {std::span(outputs).first(block.up.size()), nullptr, end_of(config_.mlp)});
  return up;
}

void BlockSteps::add_output(const Block& block, Stage stage, std::span<const float> input,
                            std::vector<float>& x) const {
  float* const y = x.data();
  product(stage == Stage::o ? block.o : block.down, input.data(),
          static_cast<int64_t>(x.size()) / config_.hidden_size, {std::span(&y, 1), y});
}

}  // namespace nibble
