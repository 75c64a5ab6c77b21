// LayerOps: what a transformer layer does besides its matrix products. Raw pointers in, raw
// pointers out; a set of them for each instruction set. All but the reference give the same bytes,
// whatever the width of their vectors, the rows computed together, and the threads; the reference,
// which computes in f64 where it can and is there for tests, differs from them by rounding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

/// Positions of keys stored side by side: [position / 16][head_dim][16].
constexpr int64_t kKeyBlock = 16;
/// Rows of queries that attend() takes at once.
constexpr int64_t kQueryRows = 8;

/// How keys and values are kept: int8 with one f32 scale a position (absmax / 127), f16, or f32.
enum class CacheType : uint8_t { f32, f16, i8 };

/// One key head and the queries that read it: out = softmax(q K^T * scale) V for each row, over the
/// positions [begin, end) that the row sees (at least one).
struct AttendRows {
  int64_t rows = 0;  ///< up to kQueryRows
  const float* q[kQueryRows] = {};
  float* out[kQueryRows] = {};
  int64_t begin[kQueryRows] = {}, end[kQueryRows] = {};
  /// Of each row, a score beside those of the positions, whose value is nothing.
  bool has_sinks = false;
  float sinks[kQueryRows] = {};
  const void* keys = nullptr;                                  ///< [positions / 16][head_dim][16]
  const void* values = nullptr;                                ///< [positions][value_stride]
  const float *key_scales = nullptr, *value_scales = nullptr;  ///< [positions], for int8
  int64_t head_dim = 0;                                        ///< of queries and keys
  int64_t value_dim = 0;                                       ///< of values and of `out`
  int64_t value_stride = 0;  ///< value_dim rounded up to 16; the rest is 0
  float scale = 0;
  float softcap = 0;         ///< scores become cap tanh(score / cap); 0: they stay
  float* scratch = nullptr;  ///< attend_scratch_floats(head_dim, value_dim), 64-byte aligned
};

/// Floats of scratch that attend() needs: queries, sums, and scores of one block of positions.
constexpr int64_t kScoreBlock = 128;
constexpr int64_t attend_scratch_floats(int64_t head_dim, int64_t value_dim) {
  return kQueryRows * (head_dim + value_dim + 32 + kScoreBlock);
}

/// One token of one head of a gated delta rule (Yang et al. 2024, Gated DeltaNet): the state S
/// [key_dim, value_dim] fades, what the key recalls is replaced by the value in part, and the query
/// reads: S *= fade; S += k (write (v - S^T k))^T; out = S^T q.
struct DeltaToken {
  const float *q, *k, *v;
  int64_t key_dim = 0, value_dim = 0;
  float fade = 0, write = 0;
  float *state, *out;
};

struct LayerOps {
  const char* name;
  /// One row of `width`: x / sqrt(mean(x^2) + eps) * gain + bias; gain and bias may be null, y may
  /// be x (Zhang and Sennrich 2019).
  void (*rms_norm)(const float* x, int64_t width, const float* gain, const float* bias, float eps,
                   float* y);
  /// (x - mean) / sqrt(variance + eps) * gain + bias (Ba et al. 2016).
  void (*layer_norm)(const float* x, int64_t width, const float* gain, const float* bias, float eps,
                     float* y);
  void (*relu)(int64_t n, float* x);
  void (*gelu_tanh)(int64_t n, float* x);                        ///< Hendrycks and Gimpel 2016
  void (*silu_gate)(const float* gate, int64_t n, float* up);    ///< up *= silu(gate), Shazeer 2020
  void (*sigmoid_gate)(const float* gate, int64_t n, float* x);  ///< x *= 1 / (1 + e^-gate)
  void (*soft_cap)(float cap, int64_t n, float* x);  ///< x = cap tanh(x / cap), Gemma Team 2024
  /// Turns pairs (x[i], x[i + half]) by the angles whose cosines and sines are given (Su et al.
  /// 2021).
  void (*rotate)(const float* cos, const float* sin, int64_t half, float* x);
  void (*to_f16)(const float* x, int64_t n, uint16_t* out);   ///< beyond its range: the largest f16
  void (*to_bf16)(const float* x, int64_t n, uint16_t* out);  ///< as f32_to_bf16()
  /// sums[g] = the sum of the codes of group g.
  void (*sum_codes)(const int8_t* codes, int64_t k, int64_t group, int32_t* sums);
  void (*delta)(const DeltaToken&);
  void (*attend[3])(const AttendRows&);  ///< by CacheType
};

/// The best set that this processor runs, as NIBBLE_ISA caps it.
const LayerOps& best_layer_ops();

/// Each set by itself: the caller knows that the processor can run it.
const LayerOps& ref_layer_ops();
const LayerOps& portable_layer_ops();
const LayerOps& avx2_layer_ops();
const LayerOps& avx512_layer_ops();

}  // namespace nibble
