// A kernel: raw pointers in, raw pointers out. This header is all that a file under
// kernels/<isa>/ may know of nibble; it declares only plain data, so that nothing weak is emitted
// there.
//
// Products are y[r, j] = sum over i of x[r, i] * w[j, i], with m rows of x, n outputs and k inputs.
// What each element is, bit for bit, whatever the instruction set, m, the slice or the threads:
//
//   f32, f16, bf16 weights, and codes with f32 activations: t = 0; t = fma(x[i], w[i], t) for i
//     ascending, in f32, where w[i] is the weight as f32 or (float)(code - zero) * scale; of a
//     table or an 8-bit float it is value * scale. Where there are offsets it is (float)code *
//     scale, rounded, + offset, rounded.
//   codes with a8 activations: a = the exact integer sum over a group of (code - zero) * x code;
//     t = 0; t = fma((float)a, scale, t) for groups ascending; then t * row scale. Where there are
//     offsets the zero point is 0, and t = fma((float)(sum of the group's x codes), offset, t)
//     follows for each group.
//   Then + bias and + residual, where there are, as additions of their own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

/// The instruction set a kernel is written for; what the processor must have is in kernels.cc.
enum class KernelIsa : uint8_t { ref, avx2, avxvnni, avx512, avx512vnni, amx };

/// `table`: 4-bit codes that name one of 16 values; e4m3, e5m2: 8-bit floats.
enum class WeightType : uint8_t { f32, f16, bf16, codes, table, e4m3, e5m2 };
/// Those of a byte: e8m0 is 2^(byte - 127); e4m3 its value / scale_divisor; nested, for scale i,
/// scale_table[byte] * super_scales[i / kSuperBlock] + super_offset; blocks, a signed byte times
/// the super scale of its row and of its block of kSuperBlock inputs (group g begins in block g *
/// group / kSuperBlock; offsets have super scales of their own). Each operation is rounded.
enum class ScaleType : uint8_t { f32, f16, bf16, e8m0, e4m3, nested, blocks };
constexpr int64_t kSuperBlock = 256;

/// What decides whether a kernel can do a product.
struct GemmTraits {
  int64_t n = 0, k = 0;
  WeightType weight = WeightType::f32;
  int bits = 0;       ///< of a code, 2 to 8
  int64_t group = 0;  ///< inputs that share a scale; k where a row has one
  bool a8 = false;    ///< x arrives as int8 codes, a scale a row
};

/// A weight as stored: `data` row-major (codes as LSB-first bit streams, see
/// quant/quantized_tensor.h), the scale and zero point of row j and group g element j *
/// scale_stride + g. Or, where the kernel packs, `data` as packed by it, scales, offsets and zero
/// points included: then `scales` is null, and `offsets` and `zeros` only say whether there are
/// any.
struct GemmWeight {
  GemmTraits traits;
  const void* data = nullptr;
  int64_t row_bytes = 0;
  const void* scales = nullptr;
  ScaleType scale_type = ScaleType::f32;
  /// Where not null, as scales: what is added to (float)code * scale, and every zero point is 0.
  const void* offsets = nullptr;
  const uint8_t* zeros = nullptr;       ///< null where every zero point is 2^(bits-1)
  int64_t scale_stride = 0;             ///< 0 where one scale serves the whole weight
  const float* table = nullptr;         ///< 16 values, where the weight is a table
  const float* scale_table = nullptr;   ///< 256 values, for nested scales
  const float* super_scales = nullptr;  ///< nested: as stored, packed or not
  float super_offset = 0, scale_divisor = 1;
  /// blocks: those of row j and block b at j * super_stride + b. Packed, they are null.
  const float* block_scales = nullptr;
  const float* block_offsets = nullptr;
  int64_t super_stride = 0;
};

/// Where unpacking writes rows as they were stored; what is null is left out.
struct GemmRows {
  void* data = nullptr;
  int64_t row_bytes = 0;
  void* scales = nullptr;
  void* offsets = nullptr;
  uint8_t* zeros = nullptr;
  int64_t scale_stride = 0;
  float* block_scales = nullptr;
  float* block_offsets = nullptr;
  int64_t super_stride = 0;
};

/// The rows of x. Codes are padded with zeros to a multiple of kCodePadding.
struct GemmInput {
  int64_t m = 0;
  const float* x = nullptr;  ///< [m, k], where traits.a8 is false
  int64_t x_stride = 0;
  const uint16_t* narrow = nullptr;  ///< [m, k] as bf16, for kernels that multiply those
  const int8_t* codes = nullptr;     ///< [m, code_stride], in [-128, 127]
  int64_t code_stride = 0;
  const float* row_scales = nullptr;  ///< [m]
  const int32_t* sums = nullptr;      ///< [m, groups]: sums of the codes of each group
};
constexpr int64_t kCodePadding = 64;

struct GemmOutput {
  float* y = nullptr;  ///< [m, y_stride]; output j of row r at y[r * y_stride + j]
  int64_t y_stride = 0;
  const float* bias = nullptr;  ///< [n] or null
  /// Added last, where not null: as y, whose memory it may be (the residual stream).
  const float* residual = nullptr;
};

/// Slices of outputs begin at multiples of this.
constexpr int64_t kOutputSlice = 64;
/// Integer sums of more inputs than this could overflow 32 bits: 255 * 128 * 65536 < 2^31.
constexpr int64_t kLargestInt32Sum = 65536;

struct Kernel {
  const char* name = nullptr;
  KernelIsa isa = KernelIsa::ref;

  // Matrix products; all null for a kernel of another kind.
  bool (*accepts)(const GemmTraits&) = nullptr;
  /// Outputs [n_begin, n_end) for every row. `scratch` has scratch_bytes(), 64-byte aligned.
  void (*run)(const GemmWeight&, const GemmInput&, int64_t n_begin, int64_t n_end,
              const GemmOutput&, void* scratch) = nullptr;
  int64_t (*scratch_bytes)(const GemmTraits&) = nullptr;  ///< null: none
  /// The innermost instructions of `run`, `rounds` times over on registers alone: what it could do
  /// at most. Gives the multiplications done. Null: has none of its own.
  int64_t (*spin)(int64_t rounds) = nullptr;
  /// Null: the weight is used as stored. Kernels with the same `pack` share a packed weight.
  int64_t (*packed_bytes)(const GemmWeight& stored) = nullptr;
  /// Packs the outputs [n_begin, n_end); n_begin is a multiple of kOutputSlice. Slices may be
  /// packed by different threads.
  void (*pack)(const GemmWeight& stored, void* packed, int64_t n_begin, int64_t n_end) = nullptr;
  /// Writes rows [n_begin, n_end) again as they were stored; out's first row is n_begin.
  void (*unpack)(const GemmWeight& packed, int64_t n_begin, int64_t n_end,
                 const GemmRows& out) = nullptr;

  /// Quantizes rows of x to int8 (DESIGN section 8, a8): s = absmax / 127, codes rounded half to
  /// even, 0 beyond k. A row of zeros has s = 0; a row with NaN or infinity has s not finite and
  /// codes 0, so that its results are NaN.
  void (*quantize_rows)(const float* x, int64_t m, int64_t k, int64_t x_stride, int8_t* codes,
                        int64_t code_stride, float* row_scales) = nullptr;
};

}  // namespace nibble
