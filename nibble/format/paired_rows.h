// The order of the rows of queries and keys: Hugging Face turns the halves of a head against each
// other, llama2.c and GGUF's Llama neighbours (x0 with x1, x2 with x3).
#pragma once

#include <cstdint>

namespace nibble {

/// Where row r of a matrix whose heads are halves lies in one whose heads are pairs.
inline int64_t paired_row(int64_t r, int64_t head_dim) {
  const int64_t head = r / head_dim, i = r % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (i % half) + i / half;
}
/// The reverse: row p among pairs is this one among halves.
inline int64_t half_row(int64_t p, int64_t head_dim) {
  const int64_t head = p / head_dim, i = p % head_dim;
  return head * head_dim + i % 2 * (head_dim / 2) + i / 2;
}

}  // namespace nibble
