// GgufType: how numbers lie in the blocks of a GGUF file, one row a type (ggml-common.h and
// ggml-quants.c, read 2026-08; docs/formats/gguf.md).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "nibble/core/dtype.h"
#include "nibble/quant/scheme.h"

namespace nibble {

constexpr int64_t kLargestGgufBlock = 256;  // elements

/// A block in the parts that a QuantizedTensor has of it.
struct GgufBlock {
  uint8_t codes[kLargestGgufBlock];  ///< in the order of the inputs
  uint8_t scales[32], offsets[32];   ///< as the tensors of scales and offsets hold them
  float super_scale, super_offset;
};

struct GgufType {
  std::string_view name;  ///< as people write it: "Q4_K"
  uint32_t id = 0;        ///< in files
  int64_t elements = 1;   ///< of a block
  int64_t bytes = 0;
  std::optional<DType> plain = {};         ///< of elements that stand alone
  std::optional<QuantScheme> scheme = {};  ///< of those that are quantized
  /// Of the scales.
  DType scale_dtype = DType::f16;
  /// Takes a block of `bytes` apart, null for a type that is only known by its name; and the
  /// reverse, which gives the same bytes again, null for one that is not written.
  void (*unpack)(const uint8_t* block, GgufBlock& out) = nullptr;
  void (*pack)(const GgufBlock& block, uint8_t* out) = nullptr;

  bool is_readable() const { return plain.has_value() || unpack != nullptr; }
  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
  }
};

/// Every type that files may hold, whether nibble reads it or not.
std::span<const GgufType> gguf_types();
/// By number, or by name in any case; nullptr where there is none.
const GgufType* find_gguf_type(uint32_t id);
const GgufType* find_gguf_type(std::string_view name);

}  // namespace nibble
