// What of ONNX's messages nibble writes and reads: the numbers of their fields and of the types of
// elements (onnx.proto3 of onnx 1.18, read 2026-11).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nibble/core/tensor.h"

namespace nibble {

/// Enumerations whose values are the numbers of fields.
struct OnnxModelField {
  enum : uint32_t { ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset = 8 };
};
struct OnnxOpsetField {
  enum : uint32_t { domain = 1, version = 2 };
};
struct OnnxGraphField {
  enum : uint32_t { node = 1, name = 2, initializer = 5, input = 11, output = 12 };
};
struct OnnxNodeField {
  enum : uint32_t { input = 1, output = 2, name = 3, op_type = 4, attribute = 5, domain = 7 };
};
struct OnnxAttributeField {
  enum : uint32_t { name = 1, f = 2, i = 3, ints = 8, type = 20 };
};
struct OnnxTensorField {
  enum : uint32_t {
    dims = 1,
    data_type = 2,
    name = 8,
    raw_data = 9,
    external_data = 13,
    data_location = 14
  };
};
struct OnnxEntryField {
  enum : uint32_t { key = 1, value = 2 };
};
/// ValueInfoProto, the TypeProto and the TypeProto.Tensor in it, its TensorShapeProto and the
/// dimensions of that.
struct OnnxValueField {
  enum : uint32_t { name = 1, type = 2 };
};
struct OnnxTypeField {
  enum : uint32_t {
    tensor_type = 1,
    elem_type = 1,
    shape = 2,
    dim = 1,
    dim_value = 1,
    dim_param = 2
  };
};

inline constexpr int64_t kOnnxExternal = 1;  ///< TensorProto.data_location

/// TensorProto.DataType, as far as nibble has to do with it.
enum class OnnxType : int32_t {
  f32 = 1,
  u8 = 2,
  i8 = 3,
  i64 = 7,
  boolean = 9,
  f16 = 10,
  bf16 = 16
};

/// The type of a tensor's elements; nothing for those that no tensor of nibble's has.
std::optional<OnnxType> onnx_type(DType dtype);
std::optional<DType> dtype_of_onnx(int64_t type);

/// The tensors of a model whose bytes are not in model.onnx lie here, beside it.
inline constexpr const char* kOnnxModel = "model.onnx";
inline constexpr const char* kOnnxData = "model.onnx.data";
/// ModelProto.producer_name of what nibble writes.
inline constexpr const char* kOnnxProducer = "nibble";

}  // namespace nibble
