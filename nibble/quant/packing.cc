// One row of codes as a bit stream: code i occupies bits [i*b, (i+1)*b), the lowest bit of a byte
// first.
#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

int64_t packed_row_bytes(int64_t k, int bits) {
  const auto total = checked_mul(k, bits);
  NIBBLE_CHECK(k >= 0 && bits >= 1 && bits <= 8);
  if (!total) throw corrupt("a row has more codes than 64 bits can count");
  return ceil_div(*total, 32) * 4;
}

void pack_codes(std::span<const uint8_t> codes, int bits, std::span<uint8_t> row) {
  NIBBLE_CHECK(static_cast<int64_t>(row.size()) ==
               packed_row_bytes(static_cast<int64_t>(codes.size()), bits));
  size_t out = 0;
  uint32_t window = 0;
  int filled = 0;
  for (const uint8_t code : codes) {
    window |= static_cast<uint32_t>(code) << filled;
    for (filled += bits; filled >= 8; filled -= 8, window >>= 8)
      row[out++] = static_cast<uint8_t>(window);
  }
  if (filled > 0) row[out++] = static_cast<uint8_t>(window);
  std::fill(row.begin() + static_cast<std::ptrdiff_t>(out), row.end(), uint8_t{0});
}

void unpack_codes(std::span<const uint8_t> row, int bits, std::span<uint8_t> codes) {
  NIBBLE_CHECK(static_cast<int64_t>(row.size()) ==
               packed_row_bytes(static_cast<int64_t>(codes.size()), bits));
  const uint32_t mask = (1u << bits) - 1;
  size_t in = 0;
  uint32_t window = 0;
  int filled = 0;
  for (uint8_t& code : codes) {
    if (filled < bits) {
      window |= static_cast<uint32_t>(row[in++]) << filled;
      filled += 8;
    }
    code = static_cast<uint8_t>(window & mask);
    window >>= bits;
    filled -= bits;
  }
}

}  // namespace nibble
