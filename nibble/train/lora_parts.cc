#include "nibble/train/lora_parts.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

ParamSpec thin(const LoraModule& m, std::string_view end, Shape shape) {
  return {m.key, m.name + std::string(end), std::move(shape)};
}

}  // namespace

LoraParts::LoraParts(const ParamLayout& layout, const TrainOps<float>& ops,
                     const WeightLoader& load, LoraOptions options)
    : layout_(layout), ops_(ops), options_(std::move(options)), frozen_(layout, load) {
  for (const LoraModule& m : options_.modules) {
    const Shape& w = layout.table[layout.rows.at(m.key)].shape;
    flat_.table.push_back(thin(m, ".lora_A", {m.rank, w[1]}));
    flat_.table.push_back(thin(m, ".lora_B", {w[0], m.rank}));
  }
  flat_.place([](const ParamSpec&) { return false; });
  for (size_t i = 0; i < flat_.table.size(); ++i) {
    const Shape& s = flat_.table[i].shape;
    flat_.add_product({flat_.offsets[i], -1, s[0], s[1]});
  }
  transposed_ = Buffer<float>(flat_.transposed_size);
  dropout_ = {options_.dropout, options_.seed, 0};
}

void LoraParts::begin(float* trained) {
  PyRandom random(options_.seed);
  for (size_t i = 0; i < options_.modules.size(); ++i) {
    const LoraModule& m = options_.modules[i];
    const ParamSpec& a = flat_.table[2 * i];
    float* const to = trained + flat_.offsets[2 * i];
    if (m.a.elements() > 0) {
      std::ranges::copy(m.a.data<float>(), to);
      std::ranges::copy(m.b.data<float>(), trained + flat_.offsets[2 * i + 1]);
      continue;
    }
    const double bound = 1 / std::sqrt(static_cast<double>(a.shape[1]));
    for (int64_t j = 0; j < a.shape.elements(); ++j)
      to[j] = static_cast<float>(bound * (2 * random.random() - 1));
  }
}

// Of the outputs that a module has in common with a product; n is 0 where it has none. Both are
// found by their places: a product may be a part of a stored matrix, or several of them.
LowRankView<float> LoraParts::added_view(size_t module, const MatrixSlot& product,
                                         const float* trained) const {
  const LoraModule& m = options_.modules[module];
  const size_t row = layout_.rows.at(m.key);
  const int64_t k = product.k, begin = layout_.offsets[row],
                end = begin + layout_.table[row].shape.elements(),
                from = std::max(begin, product.weight),
                to = std::min(end, product.weight + product.n * k);
  if (from >= to) return {};
  const int64_t skipped = (from - begin) / k;  // rows of B
  const MatrixSlot &a = flat_.products[2 * module], &b = flat_.products[2 * module + 1];
  LowRankView<float> out;
  out.first = (from - product.weight) / k;
  out.n = (to - from) / k;
  out.k = k;
  out.r = m.rank;
  out.scale = static_cast<float>(m.scale);
  out.a = trained + a.weight;
  out.b = trained + b.weight + skipped * m.rank;
  out.a_transposed = transposed_.data() + a.transposed;
  out.b_transposed = transposed_.data() + b.transposed + skipped;
  out.a_ld = a.ld;
  out.b_ld = b.ld;
  out.a_slope = a.weight;
  out.b_slope = b.weight + skipped * m.rank;
  out.dropout = options_.dropout > 0 ? &dropout_ : nullptr;
  out.number = module;
  return out;
}

DecoderView<float> LoraParts::view(const float* trained) {
  added_.assign(layout_.products.size(), {});
  for (size_t p = 0; p < added_.size(); ++p) {
    for (size_t m = 0; m < options_.modules.size(); ++m) {
      const LowRankView<float> added = added_view(m, layout_.products[p], trained);
      if (added.n > 0) added_[p].push_back(added);
    }
  }
  return frozen_.view([this](size_t product) { return std::span(added_[product]); });
}

DecoderSlopes<float> LoraParts::slopes(float* gradient) const {
  return decoder_parts<float>(
      layout_.config, layout_.plans,
      [=](const ParamKey&) {
        MatrixSlope<float> out;
        out.added = gradient;
        return out;
      },
      [](const ParamKey&) -> float* { return nullptr; });
}

void LoraParts::prepare(const float* trained, int64_t share, int64_t shares) {
  transpose_weights(flat_, ops_, trained, transposed_.data(), share, shares);
}

void LoraParts::before_step(int64_t step, float* /*trained*/, int /*threads*/) {
  dropout_.step = step;
}

TrainedWeights LoraParts::result(const float* trained) {
  TrainedWeights out;
  for (auto& [name, tensor] : export_weights(flat_, trained)) out.emplace(name, std::move(tensor));
  return out;
}

}  // namespace nibble
