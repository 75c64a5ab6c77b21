#include "nibble/compress/output_sums.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"
#include "nibble/train/layer_weights.h"

namespace nibble {
namespace {

constexpr int64_t kPieceUnit = 16;

bool is_part_of_qkv(Role role) { return role == Role::q || role == Role::k || role == Role::v; }

}  // namespace

std::vector<int64_t> equal_pieces(int64_t n, int64_t unit, int64_t largest) {
  int64_t count = std::max<int64_t>(1, ceil_div(n, largest)), size = 0;
  do {
    size = ceil_div(ceil_div(n, count++), unit) * unit;
  } while (size > largest && size > unit);
  std::vector<int64_t> ends{0};
  while (ends.back() < n) ends.push_back(std::min(ends.back() + size, n));
  return ends;
}

OutputSums::OutputSums(const DecoderConfig& c, int layer, int64_t largest) : fused_(c.fused_qkv) {
  const LayerPlan plan = gradient_plan(c, layer);
  const int64_t head_dim = heads_of(c, layer).head_dim;
  const int64_t head = head_dim <= largest ? head_dim : kPieceUnit;
  for (const Site& site : plan.sites) {
    for (int64_t copy = 0; copy < plan.copies(site); ++copy) {
      for (const SiteMember& m : site.members)
        cut(key_of(site, m, layer, copy), m.outputs, is_part_of_qkv(m.role) ? head : kPieceUnit,
            largest);
    }
  }
  if (plan.experts)
    expert_share_ =
        static_cast<double>(plan.experts->chosen) / static_cast<double>(plan.experts->experts);
}

void OutputSums::cut(const ParamKey& key, int64_t n, int64_t unit, int64_t largest) {
  const std::vector<int64_t> ends = equal_pieces(n, unit, largest);
  for (size_t i = 0; i + 1 < ends.size(); ++i) {
    const int64_t size = ends[i + 1] - ends[i];
    pieces_.push_back(
        {key, n, ends[i], size, std::vector<float>(static_cast<size_t>(size * size))});
  }
}

void OutputSums::clear(Rows& rows) const {
  rows.resize(pieces_.size());
  for (std::vector<float>& piece : rows) piece.clear();
}

int64_t OutputSums::width() const {
  int64_t all = 0, of_experts = 0;
  for (const Piece& p : pieces_) (p.key.expert < 0 ? all : of_experts) += p.size;
  return all + std::llround(expert_share_ * static_cast<double>(of_experts));
}

void OutputSums::put(const ParamKey& key, int64_t rows, const float* gradient, Rows& to) const {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& p = pieces_[i];
    if (p.key != key) continue;
    for (int64_t r = 0; r < rows; ++r) {
      const float* const from = gradient + r * p.n + p.first;
      to[i].insert(to[i].end(), from, from + p.size);
    }
  }
}

void OutputSums::add(std::span<const Rows> samples, int threads) {
  parallel_for(std::ssize(pieces_), threads, [&](int64_t i) {
    Piece& p = pieces_[static_cast<size_t>(i)];
    for (const Rows& sample : samples) {
      const std::vector<float>& rows = sample[static_cast<size_t>(i)];
      add_gram(std::ssize(rows) / p.size, p.size, p.size, rows.data(), rows.data(), p.sum.data(),
               1);
    }
  });
}

std::vector<std::pair<ParamKey, OutputMetric>> OutputSums::finish(double scale, int threads) {
  std::vector<std::pair<ParamKey, OutputMetric>> out;
  for (Piece& p : pieces_) {
    ParamKey key = p.key;
    if (fused_ && is_part_of_qkv(key.role)) key.role = Role::qkv;
    if (out.empty() || out.back().first != key) out.emplace_back(key, OutputMetric{});
    for (float& v : p.sum) v = static_cast<float>(v * scale);
    mirror(p.size, p.sum.data(), threads);
    OutputMetric& metric = out.back().second;
    metric.starts.push_back(metric.n() + p.size);
    metric.blocks.push_back(std::move(p.sum));
  }
  return out;
}

}  // namespace nibble
