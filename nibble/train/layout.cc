#include "nibble/train/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

int64_t place(const ParamLayout& layout, const ParamKey& key) {
  const auto found = layout.rows.find(key);
  return found == layout.rows.end() ? -1 : layout.offsets[found->second];
}

MatrixSlot slot_of(const ParamLayout& layout, const ParamKey& key) {
  // Queries, keys and values lie side by side, whether they are stored as one matrix or as three,
  // and are multiplied with as one or as three.
  struct Part {
    Role role;
    int64_t first, n;  // rows
  };
  const DecoderConfig& c = layout.config;
  const HeadsConfig h = heads_of(c, std::max(key.layer, 0));
  const int64_t q = c.heads * h.head_dim * (c.attention_gate ? 2 : 1), kv = h.kv_heads * h.head_dim;
  const Part parts[] = {
      {Role::qkv, 0, q + 2 * kv}, {Role::q, 0, q}, {Role::k, q, kv}, {Role::v, q + kv, kv}};
  const auto* const part = std::find_if(std::begin(parts), std::end(parts),
                                        [&](const Part& p) { return p.role == key.role; });
  ParamKey stored = key;
  if (part != std::end(parts)) stored.role = c.fused_qkv ? Role::qkv : Role::q;
  const Shape& shape = layout.table[layout.rows.at(stored)].shape;
  MatrixSlot m{place(layout, stored), place(layout, stored.with_bias(true)), shape[0], shape[1]};
  if (part == std::end(parts)) return m;
  m.weight += part->first * m.k;
  if (m.bias >= 0) m.bias += part->first;
  m.n = part->n;
  return m;
}

// As decoder_parts(), of all that the layout has.
template <class V, class MatrixOf, class VectorOf>
auto planned_parts(const ParamLayout& layout, const MatrixOf& matrix, const VectorOf& vector) {
  if (layout.only_layer < 0) return decoder_parts<V>(layout.config, layout.plans, matrix, vector);
  DecoderParts<std::invoke_result_t<MatrixOf, ParamKey>, V> out;
  out.layers.push_back(layer_parts<V>(layout.plans.front(), layout.only_layer, matrix, vector));
  return out;
}

// `of` is asked for the matrices, `flat` (or `tables`, of what has two extents) for the places of
// the rest.
template <class V, class MatrixOf>
auto parts_of(const ParamLayout& layout, V* flat, V* tables, const MatrixOf& of) {
  return planned_parts<V>(
      layout, [&](const ParamKey& key) { return of(layout.products[layout.product_of.at(key)]); },
      [&](const ParamKey& key) -> V* {
        const int64_t at = place(layout, key);
        if (at < 0) return nullptr;
        return (at < layout.matrices_end ? tables : flat) + at;
      });
}

// The product that holds a row of the table.
int64_t find_product(const ParamLayout& layout, size_t row) {
  const int64_t at = layout.offsets[row];
  for (size_t i = 0; i < layout.products.size(); ++i) {
    const MatrixSlot& m = layout.products[i];
    if (at >= m.weight && at < m.weight + m.n * m.k) return static_cast<int64_t>(i);
  }
  return -1;
}

}  // namespace

void FlatLayout::place(bool (*joined)(const ParamSpec&)) {
  offsets.assign(table.size(), 0);
  for (bool matrices : {true, false}) {
    for (size_t i = 0; i < table.size(); ++i) {
      if (is_weight(table[i]) != matrices) continue;
      if (!joined(table[i])) size = round_up(size, kTrainAlign);
      offsets[i] = size;
      size += table[i].shape.elements();
    }
    size = round_up(size, kTrainAlign);
    if (matrices) matrices_end = size;
  }
  scales_begin = size;
}

int64_t FlatLayout::add_scales(int64_t count) {
  return std::exchange(size, size + round_up(count, kTrainAlign));
}

void FlatLayout::add_product(MatrixSlot m) {
  m.ld = round_up(m.n, kTrainAlign);
  m.transposed = transposed_size;
  transposed_size += m.ld * m.k;
  products.push_back(m);
}

namespace {

// Places of the parameters in out.table, and the products that the plans ask for.
ParamLayout placed(ParamLayout out) {
  out.place([](const ParamSpec& p) { return p.role == Role::k || p.role == Role::v; });
  for (size_t i = 0; i < out.table.size(); ++i) out.rows.emplace(out.table[i], i);
  const auto add = [&](const ParamKey& key) {
    out.product_of.emplace(key, out.products.size());
    out.add_product(slot_of(out, key));
    return key;
  };
  planned_parts<void>(out, add, [](const ParamKey&) { return nullptr; });
  for (size_t row = 0; row < out.table.size(); ++row)
    out.product_of_row.push_back(find_product(out, row));
  return out;
}

}  // namespace

ParamLayout make_layout(const DecoderConfig& config) {
  validate(config);
  ParamLayout out;
  out.config = config;
  out.table = parameter_table(config);
  for (int layer = 0; layer < config.layers; ++layer)
    out.plans.push_back(training_plan(config, layer));
  return placed(std::move(out));
}

ParamLayout make_layout(const DecoderConfig& config, int layer) {
  validate(config);
  ParamLayout out;
  out.config = config;
  out.only_layer = layer;
  for (ParamSpec& p : parameter_table(config))
    if (p.layer == layer) out.table.push_back(std::move(p));
  out.plans = {training_plan(config, layer)};
  return placed(std::move(out));
}

template <class T>
void transpose_weights(const FlatLayout& layout, const TrainOps<T>& ops, const T* weights,
                       T* transposed, int64_t share, int64_t shares) {
  for (int64_t i = share; i < std::ssize(layout.products); i += shares) {
    const MatrixSlot& m = layout.products[static_cast<size_t>(i)];
    ops.transpose(m.n, m.k, weights + m.weight, transposed + m.transposed, m.ld);
  }
}

template <class T>
DecoderView<T> view_of(const ParamLayout& layout, const T* weights, const T* transposed,
                       const T* matrices) {
  const T* const from = matrices == nullptr ? weights : matrices;
  return parts_of(layout, weights, from, [=](const MatrixSlot& m) {
    const T* const bias = m.bias < 0 ? nullptr : weights + m.bias;
    return MatrixView<T>{m.n, m.k, m.ld, from + m.weight, transposed + m.transposed, nullptr, bias};
  });
}

template <class T>
DecoderSlopes<T> slopes_of(const ParamLayout& layout, T* gradient) {
  return parts_of(layout, gradient, gradient, [=](const MatrixSlot& m) {
    return MatrixSlope<T>{gradient + m.weight, m.bias < 0 ? nullptr : gradient + m.bias};
  });
}

void load_weights(const FlatLayout& layout, const WeightLoader& load, float* flat) {
  for (size_t i = 0; i < layout.table.size(); ++i) {
    const ParamSpec& p = layout.table[i];
    const Tensor values = load(p).floats();
    if (values.shape() != p.shape)
      throw corrupt(fmt::format("expected shape {} by config.json, found {}", p.shape.to_string(),
                                values.shape().to_string()))
          .at("tensor " + in_quotes(p.name));
    refuse_nonfinite(values, p.name);
    const auto from = values.data<float>();
    std::copy(from.begin(), from.end(), flat + layout.offsets[i]);
  }
}

template <class T>
TensorMap export_weights(const FlatLayout& layout, const T* flat) {
  TensorMap out;
  for (size_t i = 0; i < layout.table.size(); ++i) {
    Tensor tensor(DType::f32, layout.table[i].shape);
    const T* from = flat + layout.offsets[i];
    std::transform(from, from + tensor.elements(), tensor.mutable_data<float>().begin(),
                   [](T x) { return static_cast<float>(x); });
    out.emplace(layout.table[i].name, std::move(tensor));
  }
  return out;
}

#define NIBBLE_LAYOUT(T)                                                                        \
  template void transpose_weights(const FlatLayout&, const TrainOps<T>&, const T*, T*, int64_t, \
                                  int64_t);                                                     \
  template DecoderView<T> view_of(const ParamLayout&, const T*, const T*, const T*);            \
  template DecoderSlopes<T> slopes_of(const ParamLayout&, T*);                                  \
  template TensorMap export_weights(const FlatLayout&, const T*);
NIBBLE_LAYOUT(float)
NIBBLE_LAYOUT(double)
#undef NIBBLE_LAYOUT

}  // namespace nibble
