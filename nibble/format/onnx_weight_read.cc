// The reverse of onnx_weight.cc.
#include <fmt/format.h>

#include "nibble/core/transpose.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/onnx_weight.h"

namespace nibble {
namespace {

struct StoredBits {
  int bits;
  NumberType type;
};
constexpr StoredBits kStoredBits[] = {
    {2, NumberType::int2}, {4, NumberType::int4}, {8, NumberType::int8}};

// What the names of the tensors say.
OnnxWeight by_names(const OnnxFile& tensors, const OnnxSource& from) {
  OnnxWeight out{OnnxWeight::Form::floats, from.name, from.shape,
                 from.shape.rank() == 2 && !from.table};
  if (tensors.contains(from.name) || from.shape.rank() != 2) return out;
  out.scheme.type = NumberType::int8;
  out.scheme.asymmetric = tensors.contains(from.name + "_zero_points");
  out.form = OnnxWeight::Form::bytes;
  if (tensors.contains(out.codes_name())) return out;
  out.form = OnnxWeight::Form::blocks;
  out.turned = false;
  out.scheme.granularity = Granularity::group;
  for (const StoredBits& row : kStoredBits) {
    out.scheme.type = row.type;
    for (out.scheme.group = 16; out.scheme.group <= 256; out.scheme.group *= 2) {
      if (tensors.contains(out.codes_name())) return out;
    }
  }
  throw corrupt("config.json asks for this tensor, the file does not have it")
      .at("tensor " + in_quotes(from.name));
}

void require_info(const OnnxFile& file, const TensorInfo& wanted) {
  const TensorInfo* found = file.find(wanted.name);
  const auto at = [&](Error e) { return std::move(e).at("tensor " + in_quotes(wanted.name)); };
  if (found == nullptr) throw at(corrupt("is missing beside the others of its weight"));
  if (found->dtype == wanted.dtype && found->shape == wanted.shape) return;
  throw at(corrupt(fmt::format("expected {} {}, found {} {}", to_string(wanted.dtype),
                               wanted.shape.to_string(), to_string(found->dtype),
                               found->shape.to_string())));
}

QuantizedTensor read_bytes(const TensorSource& tensors, const OnnxWeight& stored) {
  QuantizedTensor q;
  q.scheme = stored.scheme;
  q.shape = stored.shape;
  Tensor codes = tensors.get(stored.codes_name());
  if (stored.turned) codes = transpose(codes);
  const int64_t n = stored.shape[0], k = stored.shape[1];
  codes = stored.scheme.asymmetric ? codes : with_signs_flipped(codes);
  q.codes = with_row_bytes(codes.reshaped(stored.shape), packed_row_bytes(k, 8));
  const Shape scales = stored.one_scale ? Shape{1, 1} : Shape{n, 1};
  q.scales = tensors.get(stored.scales_name()).reshaped(scales);
  if (stored.scheme.asymmetric) q.zeros = tensors.get(stored.zeros_name()).reshaped(scales);
  return q;
}

Tensor unpacked_zeros(const Tensor& packed, int bits, int64_t blocks) {
  const int64_t n = packed.shape()[0];
  const Tensor rows = with_row_bytes(packed, packed_row_bytes(blocks, bits));
  Tensor out(DType::u8, Shape{n, blocks});
  const auto width = static_cast<size_t>(rows.shape()[1]), count = static_cast<size_t>(blocks);
  for (size_t r = 0; r < static_cast<size_t>(n); ++r)
    unpack_codes(rows.data<uint8_t>().subspan(r * width, width), bits,
                 out.mutable_data<uint8_t>().subspan(r * count, count));
  return out;
}

QuantizedTensor read_blocks(const TensorSource& tensors, const OnnxWeight& stored) {
  QuantizedTensor q;
  q.scheme = stored.scheme;
  q.shape = stored.shape;
  const Tensor codes = tensors.get(stored.codes_name());
  const int64_t row = codes.shape()[1] * codes.shape()[2];
  q.codes = with_row_bytes(codes.reshaped(Shape{stored.shape[0], row}),
                           packed_row_bytes(stored.shape[1], stored.scheme.bits()));
  q.scales = tensors.get(stored.scales_name());
  if (stored.scheme.asymmetric)
    q.zeros =
        unpacked_zeros(tensors.get(stored.zeros_name()), stored.scheme.bits(), stored.blocks());
  return q;
}

}  // namespace

OnnxWeight stored_onnx_weight(const OnnxFile& file, const OnnxSource& from) {
  OnnxWeight out = by_names(file, from);
  if (const TensorInfo* i = file.find(out.name)) out.dtype = i->dtype;
  if (const TensorInfo* i = file.find(out.scales_name()))
    out.one_scale = out.form == OnnxWeight::Form::bytes && i->shape.rank() == 0;
  if (out.one_scale) out.scheme.granularity = Granularity::tensor;
  for (const TensorInfo& wanted : out.infos()) require_info(file, wanted);
  return out;
}

Weight read_onnx_weight(const TensorSource& file, const OnnxWeight& stored) {
  if (stored.form == OnnxWeight::Form::floats) {
    const Tensor t = file.get(stored.name);
    return stored.turned ? transpose(t) : t;
  }
  return validated(
      stored.form == OnnxWeight::Form::bytes ? read_bytes(file, stored) : read_blocks(file, stored),
      stored.name);
}

}  // namespace nibble
