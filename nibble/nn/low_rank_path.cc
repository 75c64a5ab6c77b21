#include "nibble/nn/low_rank_path.h"

#include <algorithm>
#include <utility>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

// Plain f32: neither rounded nor dequantized.
std::unique_ptr<const PackedWeight> thin_matrix(Tensor matrix, const std::string& name,
                                                const LinearOptions& options) {
  return std::make_unique<PackedWeight>(LinearMember{name, std::move(matrix), std::nullopt},
                                        LinearOptions{.threads = options.threads});
}

Tensor all_inputs(const std::vector<std::shared_ptr<const LowRank>>& changes, int64_t k,
                  int64_t rows) {
  Tensor out(DType::f32, {rows, k});
  float* to = out.mutable_data<float>().data();
  for (const auto& c : changes) {
    if (c != nullptr) to = std::ranges::copy(c->a.data<float>(), to).out;
  }
  return out;
}

}  // namespace

LowRankPath::LowRankPath(const std::vector<std::shared_ptr<const LowRank>>& changes, int64_t k,
                         const std::string& name, const LinearOptions& options) {
  int64_t columns = 0;
  for (const auto& c : changes) columns += c == nullptr ? 0 : c->rank();
  if (columns == 0) return;
  down_ = thin_matrix(all_inputs(changes, k, columns), name, options);
  columns = 0;
  for (const auto& c : changes) {
    first_.push_back(columns);
    up_.emplace_back();
    if (c == nullptr) continue;
    columns += c->rank();
    up_.back() = thin_matrix(c->b, name, options);
  }
}

int64_t LowRankPath::slices() const { return ceil_div(columns(), kOutputSlice); }

void LowRankPath::down(const float* x, int64_t m, int64_t slice, float* t, void* scratch) const {
  const int64_t begin = slice * kOutputSlice;
  GemmInput in;
  in.m = m;
  in.x = x;
  in.x_stride = down_->traits().k;
  down_->kernel().run(down_->view(), in, begin, std::min(begin + kOutputSlice, columns()),
                      {t, columns()}, scratch);
}

void LowRankPath::up(size_t member, const float* t, int64_t m, int64_t n_begin, int64_t n_end,
                     float* y, void* scratch) const {
  const PackedWeight& b = *up_[member];
  GemmInput in;
  in.m = m;
  in.x = t + first_[member];
  in.x_stride = columns();
  b.kernel().run(b.view(), in, n_begin, n_end, {y, b.n(), nullptr, y}, scratch);
}

int64_t LowRankPath::scratch_bytes() const {
  if (empty()) return 0;
  int64_t most = down_->scratch_bytes();
  for (const auto& b : up_) most = std::max(most, b != nullptr ? b->scratch_bytes() : 0);
  return most;
}

int64_t LowRankPath::multiplications() const {
  if (empty()) return 0;
  int64_t sum = columns() * down_->traits().k;
  for (const auto& b : up_) sum += b != nullptr ? b->n() * b->traits().k : 0;
  return sum;
}

size_t LowRankPath::bytes() const {
  if (empty()) return 0;
  size_t sum = down_->memory_bytes();
  for (const auto& b : up_) sum += b != nullptr ? b->memory_bytes() : 0;
  return sum;
}

std::shared_ptr<const LowRank> LowRankPath::change(size_t member) const {
  if (!changes(member)) return nullptr;
  const PackedWeight& b = *up_[member];
  const int64_t r = b.traits().k, k = down_->traits().k;
  auto out = std::make_shared<LowRank>(LowRank{Tensor(DType::f32, {r, k}), b.source().plain()});
  const auto rows = out->a.mutable_data<float>();
  for (int64_t i = 0; i < r; ++i)
    down_->weight_row(first_[member] + i,
                      rows.subspan(static_cast<size_t>(i * k), static_cast<size_t>(k)));
  return out;
}

}  // namespace nibble
