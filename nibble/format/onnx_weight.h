// How a weight lies in an ONNX file that nibble writes, as initializers named after it:
//
//   floats   X                  f32, f16 or bf16; a matrix that rows are multiplied with as [k, n]
//   bytes    X_Q8               i8, or u8 where there are zero points; [k, n], a table [n, k]
//            X_scales           f32 [n], or [] where one scale serves the whole weight
//            X_zero_points      u8, in that shape
//   blocks   X_Q4G32            u8 [n, G, 32 * 4 / 8]: codes of MatMulNBits, G = ceil(k / 32)
//            X_scales           f32 [n, G]
//            X_zero_points      u8 [n, ceil(G * 4 / 8)]
//
// Source: onnx, docs/Operators.md (DequantizeLinear); onnxruntime, docs/ContribOperators.md
// (MatMulNBits); read 2026-11.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/format/onnx_file.h"
#include "nibble/quant/weight.h"

namespace nibble {

struct OnnxWeight {
  enum class Form { floats, bytes, blocks };
  Form form = Form::floats;
  std::string name;
  Shape shape;               ///< in memory, [n, k] of a matrix
  bool turned = false;       ///< floats, bytes: the file has [k, n]
  DType dtype = DType::f32;  ///< of floats
  QuantScheme scheme = {};   ///< of the others: as it is read back
  bool one_scale = false;    ///< bytes: of the whole weight

  /// Names of its tensors: the floats or codes, scales, zero points (empty where there are none).
  std::string codes_name() const;
  std::string scales_name() const { return name + "_scales"; }
  std::string zeros_name() const;
  /// Codes of a block, and blocks of a row.
  int64_t block() const { return scheme.group; }
  int64_t blocks() const;
  /// Its tensors, in that order.
  std::vector<TensorInfo> infos() const;
};

/// What is known of a weight before it is made.
struct OnnxSource {
  std::string name;
  Shape shape;
  std::optional<QuantScheme> scheme = {};
  DType dtype = DType::f32;  ///< of plain values
  bool table = false;        ///< rows are looked up in it
};

/// How it will lie. What is no matrix becomes f32. Scales of a channel, of a whole weight or of
/// groups that are no block of MatMulNBits are repeated for each of the blocks that they are cut
/// into. Error{unsupported}, naming what fits, for what no initializer holds: other types, inputs
/// that are rounded.
OnnxWeight onnx_weight(const OnnxSource& source);
/// Its tensors, of what was made. Scales become f32, which holds all of them.
std::vector<Tensor> onnx_tensors(const OnnxWeight& as, const Weight& weight);

/// How a weight lies in a file, checked against the tensors that are there; `source` says its name,
/// shape and whether it is a table. Error{corrupt} names what is missing or has another type or
/// shape.
OnnxWeight stored_onnx_weight(const OnnxFile& file, const OnnxSource& source);
/// The weight, mapped where the file has it as it is computed with.
Weight read_onnx_weight(const TensorSource& file, const OnnxWeight& stored);

}  // namespace nibble
