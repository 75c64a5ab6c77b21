// The arithmetic alone: one matrix quantized, no model and no file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/api/control.h"
#include "nibble/api/export.h"

namespace nibble::api {

struct ArrayOptions {
  std::string method = {};  ///< "rtn", "gptq", ...; empty: gptq where there is a Hessian, else rtn
  std::string scale_dtype = "f16";
  /// Mean of x x^T over the inputs x that the matrix will be multiplied with, [columns, columns];
  /// empty: none.
  std::span<const float> hessian = {};
};

struct QuantizedArray {
  std::string scheme;  ///< as it is stored: where a group does not divide the columns, int8:channel
  int64_t rows = 0, columns = 0;
  /// [rows, columns], unsigned; a symmetric integer code c of b bits stands here as c + 2^(b-1).
  std::vector<uint8_t> codes;
  std::vector<float> scales;                  ///< [rows, groups], or one
  std::optional<std::vector<uint8_t>> zeros;  ///< zero points, in the shape of scales
  std::optional<std::vector<float>>
      offsets;                ///< of types with code * scale + offset, in that shape
  std::vector<float> values;  ///< [rows, columns]: what all of it stands for
  double bits_per_weight = 0;
  /// Mean squared error of an output, tr(dW H dW^T) / rows; unset without a Hessian.
  std::optional<double> error;
  std::string note;  ///< what one should know of it, or nothing
};

/// Of w [rows, columns], row-major: outputs, inputs. Error{invalid_argument} for sizes that do not
/// fit, a scheme or method that is none, or a method that needs what is not given;
/// Error{corrupt} for a value that is not finite.
NIBBLE_API QuantizedArray quantize_array(std::span<const float> w, int64_t rows, int64_t columns,
                                         std::string_view scheme, const ArrayOptions& options = {},
                                         const Control& control = {});

}  // namespace nibble::api
