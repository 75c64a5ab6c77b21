#include "nibble/train/frozen_weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

void require_shape(const ParamSpec& p, const Shape& found) {
  if (found == p.shape) return;
  throw corrupt(fmt::format("expected shape {} by config.json, found {}", p.shape.to_string(),
                            found.to_string()))
      .at("tensor " + in_quotes(p.name));
}

}  // namespace

FrozenWeights::FrozenWeights(const ParamLayout& layout, const WeightLoader& load)
    : layout_(layout), matrices_(layout.table.size()), vectors_(layout.size - layout.matrices_end) {
  for (size_t row = 0; row < layout.table.size(); ++row) keep(row, load(layout.table[row]));
  for (const MatrixSlot& slot : layout.products) products_.push_back(product(slot));
  const size_t tokens = layout.rows.at({Role::token_embedding});
  tokens_.add(matrices_[tokens], 0, layout.table[tokens].shape[0]);
}

FrozenWeights::Kept FrozenWeights::kept(size_t row) const {
  if (layout_.offsets[row] >= layout_.matrices_end) return Kept::vector;
  const bool read_by_rows =
      layout_.product_of_row[row] >= 0 || layout_.table[row].role == Role::token_embedding;
  return read_by_rows ? Kept::matrix : Kept::table;
}

void FrozenWeights::keep(size_t row, const Weight& weight) {
  const ParamSpec& p = layout_.table[row];
  require_shape(p, weight.shape());
  if (!weight.is_quantized()) refuse_nonfinite(weight.plain(), p.name);
  const Kept how = kept(row);
  if (how == Kept::matrix) {
    matrices_[row] = weight;
    return;
  }
  const Tensor floats = weight.floats();
  const auto from = floats.data<float>();
  if (how == Kept::table) tables_.emplace(row, Buffer<float>(std::ssize(from)));
  std::ranges::copy(from, how == Kept::table
                              ? tables_.at(row).data()
                              : vectors_.data() + layout_.offsets[row] - layout_.matrices_end);
}

// A product may be a part of a stored matrix, or several of them: rows are found by their places.
StoredMatrix FrozenWeights::product(const MatrixSlot& slot) const {
  StoredMatrix out;
  while (out.rows() < slot.n) {
    const int64_t at = slot.weight + out.rows() * slot.k;
    for (size_t row = 0; row < matrices_.size(); ++row) {
      const int64_t begin = layout_.offsets[row], size = layout_.table[row].shape.elements();
      if (at < begin || at >= begin + size) continue;
      const int64_t first = (at - begin) / slot.k, rows = size / slot.k - first;
      out.add(matrices_[row], first, std::min(rows, slot.n - out.rows()));
      break;
    }
  }
  return out;
}

const float* FrozenWeights::values(const ParamKey& key) const {
  const auto found = layout_.rows.find(key);
  if (found == layout_.rows.end() || kept(found->second) == Kept::matrix) return nullptr;
  if (kept(found->second) == Kept::table) return tables_.at(found->second).data();
  return vectors_.data() + layout_.offsets[found->second] - layout_.matrices_end;
}

DecoderView<float> FrozenWeights::view(const Added& added) const {
  const auto matrix = [&](const ParamKey& key) {
    const size_t i = layout_.product_of.at(key);
    const MatrixSlot& m = layout_.products[i];
    MatrixView<float> out{m.n, m.k};
    if (m.bias >= 0) out.bias = vectors_.data() + m.bias - layout_.matrices_end;
    out.stored = &products_[i];
    out.added = added(i);
    return out;
  };
  auto out = decoder_parts<const float>(layout_.config, layout_.plans, matrix,
                                        [this](const ParamKey& key) { return values(key); });
  out.stored_tokens = &tokens_;
  return out;
}

int64_t FrozenWeights::bytes() const {
  int64_t floats = vectors_.size();
  for (const auto& [row, table] : tables_) floats += table.size();
  int64_t out = floats * int64_t{sizeof(float)};
  for (size_t row = 0; row < matrices_.size(); ++row)
    if (kept(row) == Kept::matrix) out += static_cast<int64_t>(matrices_[row].bytes());
  return out;
}

}  // namespace nibble
