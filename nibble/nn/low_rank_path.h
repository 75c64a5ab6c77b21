// LowRankPath: what low-rank changes add to the products of a LinearGroup, beside weights that stay
// packed as they are: t = x A^T, then y += t B^T (Hu et al. 2021; Dettmers et al. 2023, QLoRA).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/nn/packed_weight.h"
#include "nibble/quant/low_rank.h"

namespace nibble {

class LowRankPath {
 public:
  /// Adds nothing.
  LowRankPath() = default;
  /// One for each member of the group, null where it is not changed; k inputs. `name` is for
  /// errors.
  LowRankPath(const std::vector<std::shared_ptr<const LowRank>>& changes, int64_t k,
              const std::string& name, const LinearOptions& options);

  bool empty() const { return down_ == nullptr; }
  /// Floats of t for each row, and the slices that its columns are made in.
  int64_t columns() const { return empty() ? 0 : down_->n(); }
  int64_t slices() const;
  bool changes(size_t member) const { return !empty() && up_[member] != nullptr; }

  /// Columns of slice `slice` of t [m, columns()] from x [m, k].
  void down(const float* x, int64_t m, int64_t slice, float* t, void* scratch) const;
  /// Adds outputs [n_begin, n_end) of `member` to y [m, n].
  void up(size_t member, const float* t, int64_t m, int64_t n_begin, int64_t n_end, float* y,
          void* scratch) const;

  int64_t scratch_bytes() const;
  int64_t multiplications() const;
  size_t bytes() const;
  /// The change of a member again; null where there is none.
  std::shared_ptr<const LowRank> change(size_t member) const;

 private:
  std::unique_ptr<const PackedWeight> down_;  // the A of all members below each other
  std::vector<std::unique_ptr<const PackedWeight>> up_;
  std::vector<int64_t> first_;  // column of t at which a member's begin
};

}  // namespace nibble
