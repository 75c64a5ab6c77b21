// The tensors of a GGUF file as weights.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/parallel.h"
#include "nibble/format/gguf_file.h"
#include "nibble/format/paired_rows.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

const std::byte* row_at(const GgufTensor& t, const GgufRows& rows, int64_t r, size_t row_bytes) {
  const int64_t row = rows.paired_head > 0 ? paired_row(r, rows.paired_head) : r;
  return t.file->bytes().data() + t.offset + static_cast<size_t>(rows.begin + row) * row_bytes;
}

Tensor plain_rows(const GgufTensor& t, const GgufRows& rows, Shape shape) {
  const DType dtype = *t.type->plain;
  const auto row = static_cast<size_t>(shape.elements() / rows.count * size_of(dtype));
  const auto address = reinterpret_cast<uintptr_t>(row_at(t, {rows.begin}, 0, row));
  if (rows.paired_head == 0 && address % static_cast<size_t>(size_of(dtype)) == 0) {
    return {dtype, std::move(shape),
            view_of(t.file, t.offset + static_cast<size_t>(rows.begin) * row,
                    static_cast<size_t>(rows.count) * row)};
  }
  Tensor out(dtype, std::move(shape));
  for (int64_t r = 0; r < rows.count; ++r)
    std::memcpy(out.mutable_raw() + static_cast<size_t>(r) * row, row_at(t, rows, r, row), row);
  return out;
}

// Takes rows apart, block by block, into the tensors of `q`.
class Unpacked {
 public:
  Unpacked(const GgufType& type, int64_t n, int64_t k) : type_(type) {
    const int64_t groups = k / type.scheme->group_size(k);
    const Shape scales{n, groups}, supers{n, ceil_div(k, kSuperBlock)};
    q.scheme = *type.scheme;
    q.shape = Shape{n, k};
    q.codes = Tensor(DType::u8, Shape{n, packed_row_bytes(k, q.scheme.bits())});
    q.scales = Tensor(type.scale_dtype, scales);
    const NumberTraits& number_type = number(q.scheme);
    two_levels_ = number_type.scales->super == SuperScale::inputs;
    if (number_type.offsets) q.offsets = Tensor(type.scale_dtype, scales);
    if (two_levels_) q.super_scales = Tensor(DType::f32, supers);
    if (two_levels_ && number_type.offsets) q.super_offsets = Tensor(DType::f32, supers);
    if (number_type.scales->super == SuperScale::tensor)
      q.super_scales = Tensor::from<float>(Shape{1}, std::array{1.0f});
    scale_bytes_ = static_cast<size_t>(type.elements / q.scheme.group_size(k)) *
                   static_cast<size_t>(size_of(type.scale_dtype));
  }

  void row(int64_t r, const std::byte* in) {
    const int64_t blocks = q.k() / type_.elements;
    const auto code_bytes = static_cast<size_t>(type_.elements * q.scheme.bits() / 8);
    const auto row_bytes = static_cast<size_t>(q.codes.shape()[1]);
    const auto codes =
        q.codes.mutable_data<uint8_t>().subspan(static_cast<size_t>(r) * row_bytes, row_bytes);
    GgufBlock block;
    for (int64_t b = 0; b < blocks; ++b, in += type_.bytes) {
      type_.unpack(reinterpret_cast<const uint8_t*>(in), block);
      const auto at = static_cast<size_t>(r * blocks + b);
      pack_codes(std::span(block.codes, static_cast<size_t>(type_.elements)), q.scheme.bits(),
                 codes.subspan(static_cast<size_t>(b) * code_bytes, code_bytes));
      std::memcpy(q.scales.mutable_raw() + at * scale_bytes_, block.scales, scale_bytes_);
      if (q.offsets)
        std::memcpy(q.offsets->mutable_raw() + at * scale_bytes_, block.offsets, scale_bytes_);
      if (!two_levels_) continue;
      q.super_scales->mutable_data<float>()[at] = block.super_scale;
      if (q.super_offsets) q.super_offsets->mutable_data<float>()[at] = block.super_offset;
    }
  }

  QuantizedTensor q;

 private:
  const GgufType& type_;
  bool two_levels_ = false;
  size_t scale_bytes_ = 0;  // of a block
};

QuantizedTensor quantized_rows(const GgufTensor& t, const GgufRows& rows, int threads) {
  constexpr int64_t kRows = 64;  // of one piece of work
  Unpacked out(*t.type, rows.count, t.shape[t.shape.rank() - 1]);
  parallel_for(ceil_div(rows.count, kRows), threads, [&](int64_t piece) {
    for (int64_t r = piece * kRows; r < std::min((piece + 1) * kRows, rows.count); ++r)
      out.row(r, row_at(t, rows, r, t.row_bytes()));
  });
  validate(out.q);
  return std::move(out.q);
}

}  // namespace

Weight gguf_weight(const GgufTensor& tensor, const GgufRows& rows, int threads) {
  const size_t rank = tensor.shape.rank();
  const int64_t columns = rank < 2 ? 1 : tensor.shape[rank - 1];
  const int64_t all = columns > 0 ? tensor.shape.elements() / columns : 0;
  NIBBLE_CHECK(rows.begin >= 0 && rows.count > 0 && rows.begin < all &&
               rows.count <= all - rows.begin);
  try {
    if (tensor.type->plain) {
      return plain_rows(tensor, rows,
                        rank < 2 ? Shape{rows.count} : Shape{rows.count, tensor.shape[rank - 1]});
    }
    if (!tensor.type->is_readable())
      throw unsupported(fmt::format("{} is not read yet", tensor.type->name));
    if (rank < 2) throw unsupported(fmt::format("a vector in {}", tensor.type->name));
    return quantized_rows(tensor, rows, threads);
  } catch (Error& e) {
    throw std::move(e).at("tensor " + in_quotes(tensor.name));
  }
}

}  // namespace nibble
