// NumberTraits: everything that is particular to one type of numbers, one row a type. A new type is
// its row (number_*.cc), its line in number_list.inc and, to be stored, a row of a file's layout.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/kernels/kernel.h"
#include "nibble/quant/rtn.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// What codes stand for, times a scale: `floats` are not quantized at all; `integers` are steps of
/// a grid from -2^(bits-1) on, or from a zero point; `levels` steps from `low` to `high`; `table`
/// values that the codes are indices of; `blocks` steps or values of a table, under scales (and
/// offsets) that are settled a block at a time: those of GGUF, and of MLX, whose block is a group.
enum class NumberKind { floats, integers, levels, table, blocks };

/// What may follow a type in the spelling of a scheme, as bits.
enum SchemePart : unsigned {
  kTensorPart = 1,
  kChannelPart = 2,
  kGroupPart = 4,
  kAsymPart = 8,
  kA8Part = 16,
  kA8StaticPart = 32,
  kAfp8Part = 64,
  kA8OutlierPart = 128,
  kA8FullPart = 256,
};
constexpr unsigned kGranularityParts = kTensorPart | kChannelPart | kGroupPart;
constexpr unsigned kActivationParts =
    kA8Part | kA8FullPart | kA8StaticPart | kA8OutlierPart | kAfp8Part;

/// What scales stand under: nothing, a super scale for every kNestedBlock of them and an offset,
/// one number of the tensor that they are divided by, or a super scale for every kSuperBlock inputs
/// of a row.
enum class SuperScale { none, blocks, tensor, inputs };

/// How the scales of a type are stored.
struct ScaleTraits {
  std::string_view types;        ///< "f16, bf16 or f32", for messages
  DType (*stored)(DType asked);  ///< where other types' scales would be `asked`
  SuperScale super = SuperScale::none;
  /// Where they are bytes: what each of the 256 stands for, and how kernels read them.
  std::span<const float> (*values)() = nullptr;
  ScaleType kernel = ScaleType::f32;
};
/// f16, bf16 or f32, as asked.
extern const ScaleTraits kPlainScales;

/// The bytes that files have room for.
struct ByteRange {
  int low = 0, high = 0;
};

struct NumberTraits {
  std::string_view name;
  NumberKind kind = NumberKind::floats;
  int bits = 0;               ///< of a code
  unsigned parts = 0;         ///< SchemePart
  int64_t default_group = 0;  ///< 0: a scale for each channel where nothing is said
  bool even_columns = false;  ///< stored two codes a byte: nothing says how many columns there are
  WeightType kernel = WeightType::codes;        ///< how kernels read it
  std::vector<std::string_view> examples = {};  ///< of schemes that people ask for
  const ScaleTraits* scales = &kPlainScales;

  /// NumberKind::levels: the least and the largest, and the scale for some weights.
  int low = 0, high = 0;
  float (*best_scale)(std::span<const float> weights) = nullptr;

  /// Groups have an offset as well, stored as scales are: codes are unsigned steps from there.
  bool offsets = false;
  /// SuperScale::inputs: the bytes of scales that files have room for; offsets from 0 to the same
  /// end.
  ByteRange scale_bytes = {};
  /// Types of GGUF: what a block takes in files, and its weights: their bits, scales packed.
  struct {
    int64_t elements = 0, bytes = 0;
  } block = {};
  /// SuperScale::inputs: the scheme that takes its place where inputs are no whole blocks of
  /// kSuperBlock (llama.cpp's choice, llama-quant.cpp).
  std::string_view ragged = {};

  /// Weights are entries of a codebook, several values each: they are read from files and none is
  /// made (require_makeable()).
  bool only_read = false;

  /// NumberKind::table, and blocks of values: the values of the codes in order, 16 or 256, some of
  /// which may not be finite.
  std::span<const float> (*table)() = nullptr;
  /// codes[i] = the code of the value nearest to x[i]; what lies beyond the table becomes its end.
  /// x holds no NaN. Null where weights are only read.
  void (*nearest)(std::span<const float> x, std::span<uint8_t> codes) = nullptr;
  /// Sets the scales (and super scales) of `out`, whose scheme and shape are set, by the largest
  /// magnitude of every group, f32 in the shape of the scales.
  void (*choose_scales)(const Tensor& magnitudes, const RtnOptions& options,
                        QuantizedTensor& out) = nullptr;
};

/// The row of a type.
const NumberTraits& number(NumberType type);
inline const NumberTraits& number(const QuantScheme& scheme) { return number(scheme.type); }

struct NamedNumber {
  NumberType type;
  const NumberTraits& traits;
};
/// All of them, in the order of the list.
std::span<const NamedNumber> numbers();
/// By name; nullptr where there is none.
const NamedNumber* find_number(std::string_view name);

/// Error{invalid_argument} where weights of a type are only read.
void require_makeable(const QuantScheme& scheme);

/// What the scales of a scheme are stored in, where other types' would be `asked`.
inline DType stored_scale_dtype(const QuantScheme& scheme, DType asked) {
  return number(scheme).scales->stored(asked);
}
/// The largest finite value of a type's table.
float largest_value(const NumberTraits& type);
/// What each of the 256 bytes stands for, by the function that decodes one.
template <float (*decode)(uint8_t)>
std::span<const float> byte_values() {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> out;
    for (size_t i = 0; i < out.size(); ++i) out[i] = decode(static_cast<uint8_t>(i));
    return out;
  }();
  return kValues;
}

}  // namespace nibble
