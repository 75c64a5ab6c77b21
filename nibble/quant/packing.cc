// One row of codes as a bit stream: code i occupies bits [i*b, (i+1)*b), the lowest bit of a byte
// first.
#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/encode.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

int64_t packed_row_bytes(int64_t k, int bits) {
  const auto total = checked_mul(k, bits);
  NIBBLE_CHECK(k >= 0 && bits >= 1 && bits <= 8);
  if (!total) throw corrupt("a row has more codes than 64 bits can count");
  return ceil_div(*total, 32) * 4;
}

namespace {

void pack_halves(std::span<const uint8_t> codes, std::span<uint8_t> row) {
  best_encode_ops().pack4(codes.data(), std::ssize(codes), row.data());
  const auto used = static_cast<std::ptrdiff_t>((codes.size() + 1) / 2);
  std::fill(row.begin() + used, row.end(), uint8_t{0});
}

}  // namespace

void pack_codes(std::span<const uint8_t> codes, int bits, std::span<uint8_t> row) {
  NIBBLE_CHECK(static_cast<int64_t>(row.size()) ==
               packed_row_bytes(static_cast<int64_t>(codes.size()), bits));
  if (bits == 4) return pack_halves(codes, row);
  if (bits == 8) {
    std::fill(std::copy(codes.begin(), codes.end(), row.begin()), row.end(), uint8_t{0});
    return;
  }
  size_t i = 0, out = 0;
  for (; i + 8 <= codes.size(); i += 8) {  // eight codes are `bits` bytes
    uint64_t together = 0;
    for (size_t j = 0; j < 8; ++j)
      together |= uint64_t{codes[i + j]} << (j * static_cast<size_t>(bits));
    for (int b = 0; b < bits; ++b, together >>= 8) row[out++] = static_cast<uint8_t>(together);
  }
  uint32_t window = 0;
  int filled = 0;
  for (; i < codes.size(); ++i) {
    const uint8_t code = codes[i];
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
  if (bits == 8) {
    std::copy_n(row.begin(), codes.size(), codes.begin());
    return;
  }
  const uint32_t mask = (1u << bits) - 1;
  size_t i = 0, in = 0;
  for (; bits == 4 && i + 2 <= codes.size(); i += 2, ++in) {
    codes[i] = row[in] & 15;
    codes[i + 1] = row[in] >> 4;
  }
  for (; i + 8 <= codes.size(); i += 8) {  // eight codes are `bits` bytes
    uint64_t together = 0;
    for (int b = 0; b < bits; ++b) together |= uint64_t{row[in++]} << (8 * b);
    for (size_t j = 0; j < 8; ++j, together >>= bits)
      codes[i + j] = static_cast<uint8_t>(together & mask);
  }
  uint32_t window = 0;
  int filled = 0;
  for (; i < codes.size(); ++i) {
    if (filled < bits) {
      window |= static_cast<uint32_t>(row[in++]) << filled;
      filled += 8;
    }
    codes[i] = static_cast<uint8_t>(window & mask);
    window >>= bits;
    filled -= bits;
  }
}

}  // namespace nibble
