// PackedWeight: one weight of a LinearGroup as its kernels read it. It holds the weight once, as
// stored or as packed, and gives it back as it was.
#pragma once

#include <cstdint>
#include <string_view>

#include "nibble/core/aligned_memory.h"
#include "nibble/kernels/kernel.h"
#include "nibble/nn/input_coding.h"
#include "nibble/nn/linear.h"

namespace nibble {

/// What decides which kernel multiplies a weight [n, k] of a scheme.
GemmTraits product_traits(const QuantScheme& scheme, int64_t n, int64_t k);

class PackedWeight {
 public:
  /// Chooses the kernels and packs. Errors name the tensor: parts that do not fit each other, a
  /// dtype or a scheme that no kernel multiplies, a bias of another length.
  PackedWeight(LinearMember member, const LinearOptions& options);

  std::string_view name() const { return member_.name; }
  const QuantScheme& scheme() const { return scheme_; }
  const GemmTraits& traits() const { return view_.traits; }
  int64_t n() const { return view_.traits.n; }
  const GemmWeight& view() const { return view_; }
  const float* bias() const;
  /// How its inputs become codes, where traits().a8.
  const std::optional<InputCoding>& coding() const { return coding_; }
  /// True where its inputs are rounded to fp8 (afp8).
  bool rounds_to_fp8() const { return rounds_to_fp8_; }
  /// Which input its column i stands for; empty where it is input i.
  std::span<const int32_t> input_order() const;
  /// True where its kernel reads rows as bf16 (GemmInput::narrow).
  bool reads_bf16() const { return reads_bf16_; }
  /// The kernel for its products.
  const Kernel& kernel() const { return *kernel_; }
  int64_t scratch_bytes() const;
  size_t memory_bytes() const;
  size_t weight_bytes() const;
  Weight source() const;
  /// Row `row` of the weight as f32.
  void weight_row(int64_t row, std::span<float> out) const;
  /// y[j] += x[i] * w[j, i] for the values of x [k], in the input order, beyond the coding's
  /// threshold and outputs [n_begin, n_end) (y is output 0's), in the order of i. `rows` holds
  /// those outputs of the weight, as outlier_rows() left them there.
  void add_outliers(const float* x, int64_t n_begin, int64_t n_end, const std::byte* rows,
                    float* y) const;
  /// Writes the codes, scales and zero points of outputs [n_begin, n_end) to `rows`, 64-byte
  /// aligned, outlier_bytes(): one slice.
  void outlier_rows(int64_t n_begin, int64_t n_end, std::byte* rows) const;
  int64_t outlier_bytes() const;

 private:
  const Weight& weight() const { return member_.weight; }
  void check_bias() const;
  void round_to_bf16();
  void describe(const Tensor& w);
  void describe(const QuantizedTensor& q, bool dequantize_on_the_fly);
  void pack(int threads);
  // Rows [begin, end) as they were stored.
  Weight stored_rows(int64_t begin, int64_t end) const;
  Tensor& stored();
  const Tensor& stored() const;

  LinearMember member_;
  QuantScheme scheme_;
  GemmWeight view_;
  std::optional<InputCoding> coding_;
  bool reads_bf16_ = false, rounds_to_fp8_ = false;
  const Kernel* kernel_ = nullptr;
  // Where a kernel packs: its bytes, and the type and width of the tensors they were made of, which
  // are let go.
  AlignedMemory packed_;
  DType stored_dtype_ = DType::f32, scale_dtype_ = DType::f16;
  int64_t stored_columns_ = 0;
};

}  // namespace nibble
