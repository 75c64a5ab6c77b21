#include "nibble/format/onnx_weight.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/transpose.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/onnx_proto.h"

namespace nibble {
namespace {

// Blocks that onnxruntime multiplies on every processor, in 2, 4 and 8 bits.
constexpr int64_t kLeastBlock = 16, kMostBlock = 256, kRaggedBlock = 32;
constexpr int kBlockBits[] = {2, 4, 8};

bool is_block_type(const QuantScheme& s) {
  return s.is_integer() &&
         std::find(std::begin(kBlockBits), std::end(kBlockBits), s.bits()) != std::end(kBlockBits);
}

// The largest block that divides `count` inputs; 0 where none does.
int64_t block_dividing(int64_t count) {
  int64_t block = kMostBlock;
  while (block >= kLeastBlock && count % block != 0) block /= 2;
  return block >= kLeastBlock ? block : 0;
}

// One scale for all inputs of a row may end within a block.
int64_t block_of(const QuantScheme& s, int64_t k) {
  const int64_t group = s.group_size(k), block = block_dividing(group);
  return block == 0 && group == k ? kRaggedBlock : block;
}

QuantScheme in_blocks(const QuantScheme& s, int64_t block) {
  QuantScheme out{s.type, Granularity::group};
  out.group = block;
  out.asymmetric = s.asymmetric;
  return out;
}

Error does_not_fit(const QuantScheme& s, std::string_view why) {
  return unsupported(fmt::format(
      "{} in ONNX: {}; int8, int8:tensor, int2, int4 and int8 with groups of a multiple of 16, "
      "each also :asym, and f32, f16 and bf16 fit",
      to_string(s), why));
}

OnnxWeight quantized_onnx_weight(const OnnxSource& from) {
  const QuantScheme& s = *from.scheme;
  if (s.activations != ActivationType::none) throw does_not_fit(s, "inputs stay as they are there");
  if (!is_block_type(s)) throw does_not_fit(s, "no operator has this type");
  OnnxWeight out{OnnxWeight::Form::bytes, from.name, from.shape, !from.table};
  out.scheme = s;
  out.one_scale = s.granularity == Granularity::tensor;
  if (s.bits() == 8 && s.granularity != Granularity::group) return out;
  const int64_t block = block_of(s, from.shape[1]);
  if (block == 0)
    throw does_not_fit(s, fmt::format("groups of {} are no blocks of MatMulNBits", s.group));
  out.form = OnnxWeight::Form::blocks;
  out.turned = out.one_scale = false;
  out.scheme = in_blocks(s, block);
  return out;
}

Tensor as_floats(const OnnxWeight& as, const Tensor& plain) {
  Tensor out = plain.dtype() == as.dtype ? plain : convert(plain, as.dtype);
  return as.turned ? transpose(out) : out;
}

Tensor scales_of(const QuantizedTensor& q) {
  return q.scales.dtype() == DType::f32 ? q.scales : convert(q.scales, DType::f32);
}

std::vector<Tensor> byte_tensors(const OnnxWeight& as, const QuantizedTensor& q) {
  Tensor codes = with_row_bytes(q.codes, q.k());
  if (!q.zeros) codes = seen_as(with_signs_flipped(codes), DType::i8, as.shape);
  const Shape shape = as.one_scale ? Shape{} : Shape{q.n()};
  std::vector<Tensor> out{as.turned ? transpose(codes) : codes, scales_of(q).reshaped(shape)};
  if (q.zeros) out.push_back(q.zeros->reshaped(shape));
  return out;
}

// Of the groups of a row, or of the whole weight, as they are: one of each block.
template <class T>
Tensor of_blocks(const OnnxWeight& as, const Tensor& of_groups, int64_t group) {
  const int64_t n = as.shape[0], blocks = as.blocks(), groups = of_groups.shape()[1];
  Tensor out(of_groups.dtype(), Shape{n, blocks});
  const auto from = of_groups.data<T>();
  auto to = out.mutable_data<T>();
  for (int64_t row = 0; row < n; ++row) {
    const int64_t first = of_groups.shape()[0] == 1 ? 0 : row * groups;
    for (int64_t b = 0; b < blocks; ++b)
      to[static_cast<size_t>(row * blocks + b)] =
          from[static_cast<size_t>(first + b * as.block() / group)];
  }
  return out;
}

int64_t zero_bytes(const OnnxWeight& as) {
  return ceil_div(as.blocks() * as.scheme.bits(), int64_t{8});
}

Tensor packed_zeros(const OnnxWeight& as, const Tensor& zeros) {
  const int64_t n = as.shape[0], blocks = as.blocks();
  const int bits = as.scheme.bits();
  Tensor out(DType::u8, Shape{n, packed_row_bytes(blocks, bits)});
  for (int64_t row = 0; row < n; ++row) {
    const auto width = static_cast<size_t>(out.shape()[1]);
    pack_codes(zeros.data<uint8_t>().subspan(static_cast<size_t>(row * blocks),
                                             static_cast<size_t>(blocks)),
               bits, out.mutable_data<uint8_t>().subspan(static_cast<size_t>(row) * width, width));
  }
  return with_row_bytes(out, zero_bytes(as));
}

// nibble's own rows of codes, in whole blocks.
std::vector<Tensor> block_tensors(const OnnxWeight& as, const QuantizedTensor& q) {
  const int64_t group = q.scheme.group_size(q.k()), bytes = as.block() * as.scheme.bits() / 8;
  std::vector<Tensor> out{
      with_row_bytes(q.codes, as.blocks() * bytes).reshaped(Shape{q.n(), as.blocks(), bytes}),
      of_blocks<float>(as, scales_of(q), group)};
  if (q.zeros) out.push_back(packed_zeros(as, of_blocks<uint8_t>(as, *q.zeros, group)));
  return out;
}

}  // namespace

std::string OnnxWeight::codes_name() const {
  if (form == Form::floats) return name;
  if (form == Form::bytes) return name + "_Q8";
  return fmt::format("{}_Q{}G{}", name, scheme.bits(), block());
}

std::string OnnxWeight::zeros_name() const {
  return form != Form::floats && scheme.asymmetric ? name + "_zero_points" : "";
}

int64_t OnnxWeight::blocks() const { return ceil_div(shape[1], block()); }

std::vector<TensorInfo> OnnxWeight::infos() const {
  const Shape lying = turned ? Shape{shape[1], shape[0]} : shape;
  if (form == Form::floats) return {{codes_name(), dtype, lying}};
  const bool zeros = scheme.asymmetric;
  std::vector<TensorInfo> out;
  if (form == Form::bytes) {
    const Shape scales = one_scale ? Shape{} : Shape{shape[0]};
    out = {{codes_name(), zeros ? DType::u8 : DType::i8, lying},
           {scales_name(), DType::f32, scales},
           {zeros_name(), DType::u8, scales}};
  } else {
    out = {{codes_name(), DType::u8, Shape{shape[0], blocks(), block() * scheme.bits() / 8}},
           {scales_name(), DType::f32, Shape{shape[0], blocks()}},
           {zeros_name(), DType::u8, Shape{shape[0], zero_bytes(*this)}}};
  }
  if (!zeros) out.pop_back();
  return out;
}

OnnxWeight onnx_weight(const OnnxSource& from) {
  try {
    if (from.scheme && !from.scheme->is_float()) return quantized_onnx_weight(from);
    const bool matrix = from.shape.rank() == 2;
    OnnxWeight out{OnnxWeight::Form::floats, from.name, from.shape, matrix && !from.table};
    out.dtype = matrix ? from.dtype : DType::f32;
    if (onnx_type(out.dtype)) return out;
    throw unsupported(fmt::format("{} in ONNX: f32, f16 and bf16 fit", to_string(out.dtype)));
  } catch (Error& e) {
    throw std::move(e).at("tensor " + in_quotes(from.name));
  }
}

std::vector<Tensor> onnx_tensors(const OnnxWeight& as, const Weight& weight) {
  if (as.form == OnnxWeight::Form::floats) return {as_floats(as, weight.plain())};
  const QuantizedTensor& q = weight.quantized();
  if (q.input_order)
    throw unsupported("inputs in an order of their own do not fit into ONNX")
        .at("tensor " + in_quotes(as.name));
  return as.form == OnnxWeight::Form::bytes ? byte_tensors(as, q) : block_tensors(as, q);
}

}  // namespace nibble
