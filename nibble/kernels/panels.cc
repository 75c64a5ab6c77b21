#include "nibble/kernels/panels.h"

#include <algorithm>
#include <cstring>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

// Bytes of one element, where elements are whole bytes.
int64_t element_bytes(const GemmTraits& t) {
  if (t.weight == WeightType::codes) return 1;
  return t.weight == WeightType::f32 ? 4 : 2;
}

bool is_nibbles(const GemmTraits& t) { return t.weight == WeightType::codes && t.bits == 4; }

// Steps of a panel: 16 elements, or 16 pairs of 4-bit codes, each.
int64_t steps(const GemmTraits& t) { return is_nibbles(t) ? ceil_div(t.k, 2) : t.k; }

}  // namespace

int64_t panel_bytes(const GemmTraits& t) { return steps(t) * kPanelRows * element_bytes(t); }

int64_t panels_bytes(const GemmTraits& t) { return ceil_div(t.n, kPanelRows) * panel_bytes(t); }

void pack_panels(const GemmWeight& stored, void* packed) {
  const GemmTraits& t = stored.traits;
  const auto size = static_cast<size_t>(element_bytes(t));
  std::memset(packed, 0, static_cast<size_t>(panels_bytes(t)));
  for (int64_t j = 0; j < t.n; ++j) {
    auto* out = static_cast<uint8_t*>(packed) + j / kPanelRows * panel_bytes(t);
    const auto* row = static_cast<const uint8_t*>(stored.data) + j * stored.row_bytes;
    for (int64_t i = 0; i < steps(t); ++i) {
      std::memcpy(out + static_cast<size_t>(i * kPanelRows + j % kPanelRows) * size,
                  row + static_cast<size_t>(i) * size, size);
    }
  }
}

void unpack_panels(const GemmTraits& t, const void* packed, void* rows, int64_t row_bytes) {
  const auto size = static_cast<size_t>(element_bytes(t));
  for (int64_t j = 0; j < t.n; ++j) {
    const auto* in = static_cast<const uint8_t*>(packed) + j / kPanelRows * panel_bytes(t);
    auto* row = static_cast<uint8_t*>(rows) + j * row_bytes;
    std::memset(row, 0, static_cast<size_t>(row_bytes));
    for (int64_t i = 0; i < steps(t); ++i) {
      std::memcpy(row + static_cast<size_t>(i) * size,
                  in + static_cast<size_t>(i * kPanelRows + j % kPanelRows) * size, size);
    }
  }
}

}  // namespace nibble
