// Weight: a parameter as it is stored, plain floats or quantized, and what is added to it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "nibble/core/tensor.h"
#include "nibble/quant/low_rank.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

class Weight {
 public:
  Weight() = default;
  Weight(Tensor plain) : held_(std::move(plain)) {}                   // NOLINT(*-explicit-*)
  Weight(QuantizedTensor quantized) : held_(std::move(quantized)) {}  // NOLINT(*-explicit-*)

  /// `base`, to which nothing is added yet, plus B A.
  Weight(const Weight& base, std::shared_ptr<const LowRank> added);

  const Shape& shape() const;
  /// Of a matrix; Error{corrupt} for anything else.
  int64_t rows() const;
  int64_t columns() const;
  /// Bytes as stored.
  size_t bytes() const;
  /// "int4:g32", "f16": the scheme's spelling or the plain type's; "nf4:g64 + rank 8".
  std::string stored_as() const;
  /// What it stands for, f32, in its shape: the same storage where it is that already.
  Tensor floats(int threads = 1) const;
  /// The same in memory of its own.
  std::vector<float> values() const;
  /// Row `row` of a matrix as f32, out[columns()].
  void row(int64_t row, std::span<float> out) const;

  /// Null where nothing is.
  const std::shared_ptr<const LowRank>& added() const { return added_; }
  /// It without that.
  Weight base() const;

  /// Of the base.
  bool is_quantized() const { return std::holds_alternative<QuantizedTensor>(held_); }
  /// The one it is; asking for the other is a broken promise, and so is asking where anything is
  /// added, which neither has.
  const Tensor& plain() const;
  Tensor& plain();
  const QuantizedTensor& quantized() const;
  QuantizedTensor& quantized();

 private:
  std::variant<Tensor, QuantizedTensor> held_;
  std::shared_ptr<const LowRank> added_;
};

}  // namespace nibble
