// LinearGroup: the projections that read one input (q, k, v; gate and up; or just one), each with
// its own scheme, scales and name. x is quantized once for all of them. What is added to a weight
// (Weight::added()) stays beside it: y = W x + B (A x), of x as it is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/core/team.h"
#include "nibble/core/tensor.h"
#include "nibble/quant/weight.h"

namespace nibble {

struct LinearMember {
  std::string name;  ///< stored name of the weight, for inspection and calibration
  Weight weight;
  std::optional<Tensor> bias;  ///< f32 [n]
};

struct LinearOptions {
  /// Multiply by dequantizing each weight row to f32 when it is used, whatever integer kernel there
  /// is (the tutorials' way; a timed alternative).
  bool dequantize_on_the_fly = false;
  /// Round plain weights and the rows that they read to bf16 where the processor multiplies that
  /// (twice as fast), for calibration's many rows: a product's relative error is then about 2e-3 of
  /// its size. Sums stay f32. Ignored elsewhere.
  bool bf16_products = false;
  int threads = 1;  ///< that pack the weights
};

/// What is done to the products before they are stored.
enum class LinearEnd {
  none,
  relu,
  relu_squared,
  gelu,            ///< 0.5 x (1 + erf(x / sqrt 2))
  gelu_tanh,       ///< GPT-2's gelu_new
  silu_gate,       ///< for two members, gate and up: y[1] = silu(y[0]) * y[1]
  gelu_tanh_gate,  ///< the same with gelu_tanh
  clamped_gate,  ///< y[1] = g sigmoid(1.702 g) (clamp(y[1], -7, 7) + 1), g = min(y[0], 7) (gpt-oss)
};

inline bool is_gate(LinearEnd end) { return end >= LinearEnd::silu_gate; }

/// Where the products of one group go.
struct LinearOutput {
  std::span<float* const> y;        ///< one for each member, [m, n]
  const float* residual = nullptr;  ///< for a group of one: added, [m, n]; may be y[0]
  LinearEnd end = LinearEnd::none;
};

class LinearGroup {
 public:
  LinearGroup();
  LinearGroup(std::vector<LinearMember> members, const LinearOptions& options);
  ~LinearGroup();
  LinearGroup(LinearGroup&&) noexcept;
  LinearGroup& operator=(LinearGroup&&) noexcept;

  /// y[i][r, :] = weight_i x[r, :] + bias_i for each member i; x is [m, k], y[i] is [m, n_i],
  /// row-major. A row's result is the same bytes for any number of threads and any m from 1 to 16.
  void forward(std::span<const float> x, int64_t m, std::span<float* const> y,
               const Exec& exec) const;
  /// For a group of one.
  void forward(std::span<const float> x, int64_t m, float* y, const Exec& exec) const;

  /// The same as this thread's share of a team's work, which every thread calls with the same
  /// arguments (but x, where m <= kOwnRows: each may have its own copy). `workspace` has
  /// workspace_bytes(m, team.size()), 64-byte aligned, shared by the team. The others may still be
  /// working when it returns: sync before y is read.
  void forward(const float* x, int64_t m, const LinearOutput& out, std::byte* workspace,
               Team& team) const;
  int64_t workspace_bytes(int64_t m, int64_t threads) const;
  /// Up to this many rows every thread quantizes all of x for itself.
  static constexpr int64_t kOwnRows = 4;

  /// Row `row` of a member's weight as f32, out[k].
  void weight_row(size_t member, int64_t row, std::span<float> out) const;

  size_t size() const;
  int64_t inputs() const;
  int64_t outputs(size_t member) const;
  std::string_view name(size_t member) const;
  const QuantScheme& scheme(size_t member) const;
  /// The kernel that its products use: "gemm_i8_avx512vnni", shown by `nibble inspect`.
  std::string_view kernel_name(size_t member) const;
  /// Multiplications for one row.
  int64_t multiplications() const;
  /// Bytes the loaded group holds, and bytes read for one token.
  size_t memory_bytes() const;
  size_t weight_bytes() const;
  /// The weight again, as it was given (codes bit for bit).
  Weight source(size_t member) const;

 private:
  struct Impl;
  struct Layout;
  class Product;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
