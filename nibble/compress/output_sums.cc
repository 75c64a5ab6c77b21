#include "nibble/compress/output_sums.h"

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"

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

OutputSums::OutputSums(const DecoderConfig& c, int64_t largest) : fused_(c.fused_qkv) {
  const int64_t head = c.head_dim <= largest ? c.head_dim : kPieceUnit;
  cut(Role::q, c.heads * c.head_dim, head, largest);
  cut(Role::k, c.kv_heads * c.head_dim, head, largest);
  cut(Role::v, c.kv_heads * c.head_dim, head, largest);
  cut(Role::o, c.hidden_size, kPieceUnit, largest);
  if (is_gated(c.mlp)) cut(Role::gate, c.intermediate_size, kPieceUnit, largest);
  cut(Role::up, c.intermediate_size, kPieceUnit, largest);
  cut(Role::down, c.hidden_size, kPieceUnit, largest);
}

void OutputSums::cut(Role role, int64_t n, int64_t unit, int64_t largest) {
  const std::vector<int64_t> ends = equal_pieces(n, unit, largest);
  for (size_t i = 0; i + 1 < ends.size(); ++i) {
    const int64_t size = ends[i + 1] - ends[i];
    pieces_.push_back(
        {role, n, ends[i], size, std::vector<float>(static_cast<size_t>(size * size))});
  }
}

void OutputSums::resize(Rows& rows, int64_t count) const {
  rows.resize(pieces_.size());
  for (size_t i = 0; i < pieces_.size(); ++i)
    rows[i].resize(static_cast<size_t>(count * pieces_[i].size));
}

int64_t OutputSums::width() const {
  int64_t sum = 0;
  for (const Piece& p : pieces_) sum += p.size;
  return sum;
}

void OutputSums::put(Role role, const float* gradient, int64_t first, int64_t rows,
                     Rows& to) const {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& p = pieces_[i];
    if (p.role != role) continue;
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(gradient + r * p.n + p.first, p.size, to[i].data() + (first + r) * p.size);
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

std::vector<std::pair<Role, OutputMetric>> OutputSums::finish(double scale, int threads) {
  std::vector<std::pair<Role, OutputMetric>> out;
  for (Piece& p : pieces_) {
    const Role role = fused_ && is_part_of_qkv(p.role) ? Role::qkv : p.role;
    if (out.empty() || out.back().first != role) out.emplace_back(role, OutputMetric{});
    for (float& v : p.sum) v = static_cast<float>(v * scale);
    mirror(p.size, p.sum.data(), threads);
    OutputMetric& metric = out.back().second;
    metric.starts.push_back(metric.n() + p.size);
    metric.blocks.push_back(std::move(p.sum));
  }
  return out;
}

}  // namespace nibble
