// The tensors of compressed-tensors, whoever wrote them. Which of the layouts of integers a weight
// has is told by its tensors: tools disagree about the one that a config means.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/format/compressed_tensors.h"
#include "nibble/format/compressed_tensors_parts.h"
#include "nibble/format/group_order.h"
#include "nibble/format/layout_parts.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble::compressed_tensors {
namespace {

Storing stored_as(const TensorSource& source, const std::string& x, const QuantScheme& scheme) {
  const Storing own = storing(scheme);
  if (!scheme.is_integer()) return own;
  if (source.contains(x + ".weight_packed")) return Storing::packed_words;
  return source.contains(x + ".weight") ? Storing::signed_bytes : own;
}

bool has_order(const TensorSource& source, const std::string& x, const QuantScheme& scheme) {
  return scheme.is_integer() && scheme.granularity == Granularity::group &&
         source.contains(order_name(x));
}

Error does_not_fit(const std::string& name, std::string_view expected, const Tensor& found) {
  return corrupt(fmt::format("expected {}, found {} {}", expected, to_string(found.dtype()),
                             found.shape().to_string()))
      .at("tensor " + in_quotes(name));
}

Shape read_shape(const TensorSource& source, const std::string& module) {
  const std::string name = module + ".weight_shape";
  const Tensor t = require_tensor(source, name, DType::i64, Shape{2});
  const auto dims = t.data<int64_t>();
  if (dims[0] < 1 || dims[1] < 1 || !checked_mul(dims[0], dims[1])) {
    throw corrupt(fmt::format("[{}, {}] is not the shape of a weight", dims[0], dims[1]))
        .at("tensor " + in_quotes(name));
  }
  return Shape{dims[0], dims[1]};
}

// Signed integers, the first of which is element `first` of the tensor, as the unsigned codes that
// they stand for.
void to_codes(std::span<const int8_t> values, size_t first, int bits, const std::string& name,
              std::span<uint8_t> codes) {
  const int middle = 1 << (bits - 1);
  if (bits == 8) {  // every byte is one
    for (size_t i = 0; i < values.size(); ++i) codes[i] = static_cast<uint8_t>(values[i] ^ 0x80);
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const int code = values[i] + middle;
    if (code < 0 || code >= 2 * middle) {
      throw corrupt(
          fmt::format("element {} is {}, which has more than {} bits", first + i, values[i], bits))
          .at("tensor " + in_quotes(name));
    }
    codes[i] = static_cast<uint8_t>(code);
  }
}

// How many words hold `count` codes: as one stream, or (releases of 2025) as many whole codes to a
// word as go in, which is the same for 2, 4 and 8 bits. Where both take as many words, a stream.
struct Words {
  Words(int64_t count, int bits)
      : each(32 / bits), stream(packed_row_bytes(count, bits) / 4), whole(ceil_div(count, each)) {}
  int64_t each, stream, whole;
};

// Codes out of the words at `first`, `first + stride`, ...
void unpack_words(const int32_t* first, int64_t stride, bool whole, int bits,
                  std::span<uint8_t> codes) {
  const Words words(std::ssize(codes), bits);
  std::vector<uint32_t> all(static_cast<size_t>(whole ? words.whole : words.stream));
  for (size_t w = 0; w < all.size(); ++w)
    all[w] = static_cast<uint32_t>(first[static_cast<int64_t>(w) * stride]);
  if (!whole) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(all.data());
    return unpack_codes({bytes, all.size() * 4}, bits, codes);
  }
  const auto each = static_cast<size_t>(words.each);
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<uint8_t>(all[i / each] >> (i % each * static_cast<size_t>(bits)) &
                                    ((1u << bits) - 1));
}

// Codes [n, k] of one stream a row, as they are; of whole codes a word, as such a stream.
Tensor read_words(const TensorSource& source, const std::string& name, int64_t n, int64_t k,
                  int bits) {
  const Words words(k, bits);
  const int64_t stride = words.stream * 4;
  const Tensor t = require_tensor(source, name);
  const auto is = [&](int64_t count) {
    return t.dtype() == DType::i32 && t.shape() == Shape{n, count};
  };
  if (is(words.stream)) return seen_as(t, DType::u8, Shape{n, stride});
  if (!is(words.whole)) throw does_not_fit(name, fmt::format("i32 [{}, {}]", n, words.stream), t);
  Tensor out(DType::u8, Shape{n, stride});
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  for (int64_t r = 0; r < n; ++r) {
    unpack_words(t.data<int32_t>().data() + r * words.whole, 1, true, bits, codes);
    pack_codes(codes, bits,
               out.mutable_data<uint8_t>().subspan(static_cast<size_t>(r * stride),
                                                   static_cast<size_t>(stride)));
  }
  return out;
}

// Whether the codes of a weight are whole codes a word; its zero points are so, too.
bool has_whole_words(const TensorSource& source, const std::string& x, int64_t k, int bits) {
  const std::string name = x + ".weight_packed";
  if (!source.contains(name)) return false;
  const Shape shape = source.get(name).shape();
  const Words words(k, bits);
  return words.whole != words.stream && shape.rank() == 2 && shape[1] == words.whole;
}

// Zero points are packed down the output axis, a column a group; or lie plainly as I8.
Tensor read_zeros(const TensorSource& source, const std::string& name, const Shape& shape, int bits,
                  bool whole_words) {
  const int64_t n = shape[0], groups = shape[1];
  const Tensor t = require_tensor(source, name);
  Tensor out(DType::u8, shape);
  const auto z = out.mutable_data<uint8_t>();
  if (t.dtype() == DType::i8 && t.elements() == shape.elements()) {
    to_codes(t.data<int8_t>(), 0, bits, name, z);
    return out;
  }
  const Words words(n, bits);
  const int64_t rows = whole_words ? words.whole : words.stream;
  if (t.dtype() != DType::i32 || t.shape() != Shape{rows, groups})
    throw does_not_fit(name, fmt::format("i32 [{}, {}] or i8 {}", rows, groups, shape.to_string()),
                       t);
  std::vector<uint8_t> column(static_cast<size_t>(n));
  for (int64_t g = 0; g < groups; ++g) {
    unpack_words(t.data<int32_t>().data() + g, groups, whole_words, bits, column);
    for (int64_t r = 0; r < n; ++r)
      z[static_cast<size_t>(r * groups + g)] = column[static_cast<size_t>(r)];
  }
  return out;
}

// Scales and zero points of integers, whose shape is known by now.
QuantizedTensor with_steps(const TensorSource& source, const std::string& x, QuantizedTensor q) {
  const Shape scales = scales_shape(q.scheme, q.n(), q.k());
  q.scales = require_scales(source, x + ".weight_scale", scales);
  if (!q.scheme.asymmetric) return q;
  const int bits = q.scheme.bits();
  q.zeros = read_zeros(source, x + ".weight_zero_point", scales, bits,
                       has_whole_words(source, x, q.k(), bits));
  return q;
}

QuantizedTensor from_packed_words(const TensorSource& source, const std::string& x,
                                  QuantizedTensor q) {
  q.shape = read_shape(source, x);
  q.codes = read_words(source, x + ".weight_packed", q.n(), q.k(), q.scheme.bits());
  return with_steps(source, x, std::move(q));
}

QuantizedTensor from_signed_bytes(const TensorSource& source, const std::string& x,
                                  QuantizedTensor q) {
  const std::string name = x + ".weight";
  const Tensor bytes = require_matrix(source, name, DType::i8);
  q.shape = bytes.shape();
  const int bits = q.scheme.bits();
  const auto k = static_cast<size_t>(q.k()),
             stride = static_cast<size_t>(packed_row_bytes(q.k(), bits));
  q.codes = Tensor(DType::u8, Shape{q.n(), static_cast<int64_t>(stride)});
  std::vector<uint8_t> codes(k);
  for (size_t r = 0; r < static_cast<size_t>(q.n()); ++r) {
    to_codes(bytes.data<int8_t>().subspan(r * k, k), r * k, bits, name, codes);
    pack_codes(codes, bits, q.codes.mutable_data<uint8_t>().subspan(r * stride, stride));
  }
  return with_steps(source, x, std::move(q));
}

QuantizedTensor from_plain_floats(const TensorSource& source, const std::string& x,
                                  QuantizedTensor q) {
  const Tensor bytes = require_matrix(source, x + ".weight", DType::f8_e4m3);
  q.shape = bytes.shape();
  q.codes = with_row_bytes(seen_as(bytes, DType::u8, bytes.shape()), packed_row_bytes(q.k(), 8));
  q.scales = require_scales(source, x + ".weight_scale", scales_shape(q.scheme, q.n(), q.k()));
  return q;
}

// The number of columns is nowhere said: two a byte, as every reader takes it.
QuantizedTensor from_packed_floats(const TensorSource& source, const std::string& x,
                                   QuantizedTensor q) {
  const Tensor packed = require_matrix(source, x + ".weight_packed", DType::u8);
  const auto columns = checked_mul(packed.shape()[1], 2);
  NIBBLE_CHECK(columns.has_value());  // as many bytes exist
  q.shape = Shape{packed.shape()[0], *columns};
  q.codes = with_row_bytes(packed, packed_row_bytes(q.k(), 4));
  q.scales = require_tensor(source, x + ".weight_scale", stored_scale_dtype(q.scheme, DType::f16),
                            scales_shape(q.scheme, q.n(), q.k()));
  if (number(q.scheme).scales->super == SuperScale::tensor)
    q.super_scales = require_tensor(source, x + ".weight_global_scale", DType::f32, Shape{1});
  return q;
}

QuantizedTensor read_weight(const TensorSource& source, const std::string& x, QuantizedTensor q) {
  switch (stored_as(source, x, q.scheme)) {
    case Storing::signed_bytes:
      return from_signed_bytes(source, x, std::move(q));
    case Storing::plain_floats:
      return from_plain_floats(source, x, std::move(q));
    case Storing::packed_floats:
      return from_packed_floats(source, x, std::move(q));
    case Storing::packed_words:
      break;
  }
  return from_packed_words(source, x, std::move(q));
}

// Others write it in the model's own type.
Tensor read_activation(const TensorSource& source, const std::string& name) {
  const Tensor stored = require_scales(source, name, Shape{1});
  const float value = scale_at(stored, 0);
  return Tensor::from<float>(Shape{1}, std::span(&value, 1));
}

}  // namespace

std::vector<std::string> stored_names(const TensorSource& source, const std::string& x,
                                      const QuantScheme& scheme) {
  const Storing how = stored_as(source, x, scheme);
  const bool packed = how == Storing::packed_words || how == Storing::packed_floats;
  std::vector<std::string> out{x + (packed ? ".weight_packed" : ".weight"), x + ".weight_scale"};
  if (how == Storing::packed_words) out.push_back(x + ".weight_shape");
  if (scheme.asymmetric) out.push_back(x + ".weight_zero_point");
  if (number(scheme).scales->super == SuperScale::tensor) out.push_back(x + ".weight_global_scale");
  if (has_order(source, x, scheme)) out.push_back(order_name(x));
  if (std::string name = activation_name(x, scheme); !name.empty()) out.push_back(std::move(name));
  return out;
}

QuantizedTensor from_tensors(const TensorSource& source, const std::string& x,
                             const QuantScheme& scheme, const LayoutInUse& /*use*/) {
  QuantizedTensor q;
  q.scheme = scheme;
  q = read_weight(source, x, std::move(q));
  if (const std::string name = order_name(x); has_order(source, x, scheme)) {
    put_in_order(source, name, q);
  }
  if (const std::string name = activation_name(x, scheme); !name.empty())
    q.activation = read_activation(source, name);
  return validated(std::move(q), x + ".weight");
}

}  // namespace nibble::compressed_tensors
