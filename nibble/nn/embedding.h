// Embedding: a table [rows, width] of which single rows are read, plain or quantized.
#pragma once

#include <span>

#include "nibble/quant/weight.h"

namespace nibble {

class Embedding {
 public:
  Embedding() = default;
  explicit Embedding(Weight table) : table_(std::move(table)) {}
  int64_t rows() const { return table_.rows(); }
  int64_t width() const { return table_.columns(); }
  /// out[width] = row `id` as f32. `id` was checked by the caller.
  void lookup(int64_t id, std::span<float> out) const { table_.row(id, out); }
  /// out[width] += row `id`.
  void add(int64_t id, std::span<float> out) const;
  size_t memory_bytes() const { return table_.bytes(); }
  const Weight& weight() const { return table_; }

 private:
  Weight table_;
};

}  // namespace nibble
