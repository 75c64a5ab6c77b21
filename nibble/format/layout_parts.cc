#include "nibble/format/layout_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/quant/e2m1.h"
#include "nibble/quant/scale.h"

namespace nibble {

Tensor require_tensor(const TensorSource& source, const std::string& name) {
  if (source.contains(name)) return source.get(name);
  throw corrupt("the quantization_config asks for this tensor, the file does not have it")
      .at("tensor " + in_quotes(name));
}

Tensor require_tensor(const TensorSource& source, const std::string& name, DType dtype,
                      const Shape& shape) {
  Tensor t = require_tensor(source, name);
  if (t.dtype() != dtype || t.shape() != shape) {
    throw corrupt(fmt::format("expected {} {}, found {} {}", to_string(dtype), shape.to_string(),
                              to_string(t.dtype()), t.shape().to_string()))
        .at("tensor " + in_quotes(name));
  }
  return t;
}

Tensor require_matrix(const TensorSource& source, const std::string& name, DType dtype) {
  Tensor t = require_tensor(source, name);
  if (t.dtype() == dtype && t.shape().rank() == 2 && t.elements() > 0) return t;
  throw corrupt(fmt::format("expected {} [n, k], found {} {}", to_string(dtype),
                            to_string(t.dtype()), t.shape().to_string()))
      .at("tensor " + in_quotes(name));
}

Tensor require_scales(const TensorSource& source, const std::string& name, const Shape& shape) {
  const Tensor t = require_tensor(source, name);
  if (!is_scale_dtype(t.dtype()) || t.elements() != shape.elements()) {
    throw corrupt(fmt::format("expected float scales {}, found {} {}", shape.to_string(),
                              to_string(t.dtype()), t.shape().to_string()))
        .at("tensor " + in_quotes(name));
  }
  return t.reshaped(shape);
}

Shape scales_shape(const QuantScheme& s, int64_t n, int64_t k) {
  if (s.granularity == Granularity::tensor) return Shape{1, 1};
  return Shape{n, ceil_div(k, s.group_size(k))};
}

Tensor scales_of_exponents(const Tensor& bytes) {
  Tensor out(DType::bf16, bytes.shape());
  int64_t i = 0;
  for (const uint8_t b : bytes.data<uint8_t>()) put_scale(out, i++, e8m0_to_f32(b));
  return out;
}

Tensor seen_as(const Tensor& t, DType dtype, Shape shape) {
  return {dtype, std::move(shape),
          Storage{std::make_shared<Tensor>(t), const_cast<std::byte*>(t.raw()), t.bytes()}};
}

Tensor with_signs_flipped(const Tensor& bytes) {
  Tensor out = seen_as(bytes, DType::u8, bytes.shape()).clone();
  for (uint8_t& b : out.mutable_data<uint8_t>()) b ^= 0x80;
  return out;
}

Tensor with_row_bytes(const Tensor& rows, int64_t to) {
  const int64_t n = rows.shape()[0], from = rows.shape()[1];
  if (from == to) return rows;
  Tensor out(DType::u8, Shape{n, to});
  const auto kept = static_cast<size_t>(std::min(from, to));
  for (int64_t r = 0; r < n; ++r)
    std::memcpy(out.mutable_raw() + r * to, rows.raw() + r * from, kept);
  return out;
}

QuantizedTensor validated(QuantizedTensor q, const std::string& name) {
  try {
    validate(q);
  } catch (Error& e) {
    throw std::move(e).at("tensor " + in_quotes(name));
  }
  return q;
}

}  // namespace nibble
