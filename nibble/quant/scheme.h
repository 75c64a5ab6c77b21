// QuantScheme: which numbers a weight (and perhaps its input) is stored in. One spelling
// everywhere:
//   TYPE[:tensor|channel|gN][:asym][:aX]      int8, int4:g128, int4:g32:asym, int8:a8, nf4:g64
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

enum class NumberType {
#define NIBBLE_NUMBER(name) name,
#include "nibble/quant/number_list.inc"
#undef NIBBLE_NUMBER
};
enum class Granularity { tensor, channel, group };
/// What inputs are rounded to: a8 int8 up to 127, a scale for each row of x; a8_full as a8, from
/// -128 on; a8_static one scale for all rows, from calibration; a8_outlier as a8, values beyond a
/// threshold left as they are; afp8 fp8.
enum class ActivationType { none, a8, a8_full, a8_static, a8_outlier, afp8 };

struct QuantScheme {
  NumberType type = NumberType::f32;
  Granularity granularity = Granularity::channel;
  int64_t group = 0;        ///< inputs that share a scale, where granularity is group
  bool asymmetric = false;  ///< unsigned codes with a zero point
  ActivationType activations = ActivationType::none;

  /// Bits of one code, or of one plain float.
  int bits() const;
  bool is_integer() const;
  bool is_float() const;  ///< not quantized at all
  /// Codes are indices of a table (NumberTraits::table).
  bool has_codebook() const;
  /// a8, a8full, a8static or a8outlier: inputs are int8 codes in the product.
  bool has_int8_activations() const;
  /// The inputs that share one scale for a weight with k inputs; k where there is no group, or a
  /// larger one.
  int64_t group_size(int64_t k) const;
  bool operator==(const QuantScheme&) const = default;
};

/// A scheme that weights can be made in. Throws Error{invalid_argument} saying which part is wrong
/// and what is allowed, also for a type that is only read. "fp32" and "fp16" are accepted.
QuantScheme parse_scheme(std::string_view text);
/// The same, types that are only read among them.
QuantScheme parse_any_scheme(std::string_view text);
/// The canonical spelling; parse_any_scheme(to_string(s)) == s.
std::string to_string(const QuantScheme& scheme);
/// The scheme a weight with k inputs is stored in: the same, or `int8:channel` (activations kept)
/// where a group does not divide k (DESIGN section 8 "Ragged"), or two codes share a byte and k is
/// odd.
QuantScheme storable_scheme(const QuantScheme& scheme, int64_t k);
/// What people may ask for, for --help.
std::vector<std::string_view> scheme_examples();

}  // namespace nibble
