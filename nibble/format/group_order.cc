#include "nibble/format/group_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/format/layout_parts.h"

namespace nibble {
namespace {

// The columns of each group, in the file's order, behind each other.
std::optional<Tensor> read_order(const TensorSource& source, const std::string& name,
                                 const QuantizedTensor& q) {
  const int64_t k = q.k(), size = q.scheme.group_size(k), groups = ceil_div(k, size);
  const Tensor stored = require_tensor(source, name, DType::i32, Shape{k});
  const auto group_of = stored.data<int32_t>();
  if (std::ranges::all_of(group_of, [](int32_t g) { return g == -1; })) return std::nullopt;
  std::vector<int64_t> next(static_cast<size_t>(groups));
  for (size_t g = 0; g < next.size(); ++g) next[g] = static_cast<int64_t>(g) * size;
  Tensor order(DType::i32, Shape{k});
  for (size_t column = 0; column < group_of.size(); ++column) {
    const int32_t g = group_of[column];
    const bool known = g >= 0 && g < groups;
    if (!known || next[static_cast<size_t>(g)] == std::min((g + 1) * size, k)) {
      throw corrupt(fmt::format("column {} is of group {}, which is {}", column, g,
                                known ? "full" : fmt::format("none of the {}", groups)))
          .at("tensor " + in_quotes(name));
    }
    const auto at = static_cast<size_t>(next[static_cast<size_t>(g)]++);
    order.mutable_data<int32_t>()[at] = static_cast<int32_t>(column);
  }
  if (std::ranges::is_sorted(order.data<int32_t>())) return std::nullopt;
  return order;
}

// Codes whose columns are in the order of their groups.
Tensor ordered_codes(const QuantizedTensor& q, std::span<const int32_t> order) {
  const int bits = q.scheme.bits();
  const auto k = static_cast<size_t>(q.k()), stride = static_cast<size_t>(q.codes.shape()[1]);
  Tensor out(DType::u8, q.codes.shape());
  std::vector<uint8_t> from(k), to(k);
  for (size_t r = 0; r < static_cast<size_t>(q.n()); ++r) {
    unpack_codes(q.codes.data<uint8_t>().subspan(r * stride, stride), bits, from);
    for (size_t i = 0; i < k; ++i) to[i] = from[static_cast<size_t>(order[i])];
    pack_codes(to, bits, out.mutable_data<uint8_t>().subspan(r * stride, stride));
  }
  return out;
}

}  // namespace

void put_in_order(const TensorSource& source, const std::string& name, QuantizedTensor& q) {
  q.input_order = read_order(source, name, q);
  if (q.input_order) q.codes = ordered_codes(q, q.input_order->data<int32_t>());
}

}  // namespace nibble
