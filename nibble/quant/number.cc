#include "nibble/quant/number.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {

#define NIBBLE_NUMBER(name) const NumberTraits& name##_number();
#include "nibble/quant/number_list.inc"
#undef NIBBLE_NUMBER

const ScaleTraits kPlainScales = {"f16, bf16 or f32", [](DType asked) { return asked; }};

std::span<const NamedNumber> numbers() {
  static const NamedNumber kNumbers[] = {
#define NIBBLE_NUMBER(name) {NumberType::name, name##_number()},
#include "nibble/quant/number_list.inc"
#undef NIBBLE_NUMBER
  };
  return kNumbers;
}

const NumberTraits& number(NumberType type) {
  const auto all = numbers();
  const auto at = static_cast<size_t>(type);
  NIBBLE_CHECK(at < all.size() && all[at].type == type);
  return all[at].traits;
}

const NamedNumber* find_number(std::string_view name) {
  for (const NamedNumber& n : numbers()) {
    if (n.traits.name == name) return &n;
  }
  return nullptr;
}

void require_makeable(const QuantScheme& scheme) {
  if (!number(scheme).only_read) return;
  throw invalid_argument(
      fmt::format("{} is read from files and not made: its weights are entries of a codebook, "
                  "which nothing here rounds to; use another type, such as q2_k",
                  to_string(scheme)))
      .at("scheme");
}

float largest_value(const NumberTraits& type) {
  float m = 0;
  for (const float v : type.table()) {
    if (std::isfinite(v)) m = std::max(m, v);
  }
  return m;
}

}  // namespace nibble
