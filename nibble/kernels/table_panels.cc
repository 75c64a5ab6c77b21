#include "nibble/kernels/table_panels.h"

#include <cstring>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

// Bytes that hold the codes of one row.
int64_t steps(const GemmTraits& t) { return t.bits == 4 ? ceil_div(t.k, 2) : t.k; }

}  // namespace

bool is_table_weight(const GemmTraits& t) {
  return t.weight == WeightType::table || t.weight == WeightType::e4m3 ||
         t.weight == WeightType::e5m2;
}

int64_t table_panel_bytes(const GemmTraits& t) { return steps(t) * kTablePanelRows; }

int64_t table_panels_bytes(const GemmTraits& t) {
  return ceil_div(t.n, kTablePanelRows) * table_panel_bytes(t);
}

void pack_table_panels(const GemmWeight& stored, void* packed) {
  const GemmTraits& t = stored.traits;
  std::memset(packed, 0, static_cast<size_t>(table_panels_bytes(t)));
  for (int64_t j = 0; j < t.n; ++j) {
    auto* out = static_cast<uint8_t*>(packed) + j / kTablePanelRows * table_panel_bytes(t);
    const auto* row = static_cast<const uint8_t*>(stored.data) + j * stored.row_bytes;
    for (int64_t i = 0; i < steps(t); ++i) out[i * kTablePanelRows + j % kTablePanelRows] = row[i];
  }
}

void unpack_table_panels(const GemmTraits& t, const void* packed, void* rows, int64_t row_bytes) {
  for (int64_t j = 0; j < t.n; ++j) {
    const auto* in =
        static_cast<const uint8_t*>(packed) + j / kTablePanelRows * table_panel_bytes(t);
    auto* row = static_cast<uint8_t*>(rows) + j * row_bytes;
    std::memset(row, 0, static_cast<size_t>(row_bytes));
    for (int64_t i = 0; i < steps(t); ++i) row[i] = in[i * kTablePanelRows + j % kTablePanelRows];
  }
}

}  // namespace nibble
