#include "nibble/train/whole_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/train/rounded_inputs.h"

namespace nibble {
namespace {

bool is_frozen(const FlatLayout& layout, size_t row) {
  return std::any_of(layout.frozen.begin(), layout.frozen.end(),
                     [&](const auto& range) { return range.first == layout.offsets[row]; });
}

}  // namespace

WholeDecoder::WholeDecoder(ParamLayout layout, const TrainOps<float>& ops, Begin begin,
                           FakeQuantization quantization, bool narrow)
    : layout_(std::move(layout)),
      ops_(ops),
      begin_(std::move(begin)),
      quantization_(std::move(quantization)),
      fake_of_(layout_.table.size()),
      transposed_(layout_.transposed_size) {
  layout_.scale_rate = static_cast<float>(quantization_.scale_rate);
  fakes_.reserve(layout_.table.size());
  for (size_t row = 0; row < layout_.table.size(); ++row) {
    const ParamSpec& p = layout_.table[row];
    const auto found = quantization_.schemes.find(p.name);
    if (found == quantization_.schemes.end()) continue;
    NIBBLE_CHECK(p.is_matrix());
    FakeQuantizer quantizer(found->second, p.shape, quantization_.scale_dtype,
                            quantization_.steady_grid);
    const int64_t learnt = layout_.add_scales(quantizer.learnt());
    if (is_frozen(layout_, row)) layout_.frozen.emplace_back(learnt, learnt + quantizer.learnt());
    fakes_.push_back({row, std::move(quantizer), learnt});
    fake_of_[row] = &fakes_.back();
  }
  if (quantization_.only_scales) layout_.frozen = {{0, layout_.scales_begin}};
  if (!fakes_.empty()) effective_ = Buffer<float>(layout_.matrices_end);
  inputs_.resize(layout_.products.size());
  for (size_t i = 0; i < inputs_.size(); ++i) (void)inputs_of(i);
  decides_.resize(layout_.products.size());
  for (const auto& [key, product] : layout_.product_of)
    decides_[product] = key.role == Role::router;
  if (narrow) narrow_ = std::make_unique<NarrowWeights>(layout_);
}

void WholeDecoder::begin(float* trained) { begin_(layout_, trained); }

// How the rows of a product are rounded, which all that it is made of must agree on.
ActivationType WholeDecoder::inputs_of(size_t product) const {
  std::optional<ActivationType> out;
  for (size_t row = 0; row < layout_.table.size(); ++row) {
    if (layout_.product_of_row[row] != static_cast<int64_t>(product)) continue;
    const Fake* const fake = fake_of_[row];
    const auto here = fake == nullptr ? ActivationType::none : fake->quantizer.scheme().activations;
    if (here != ActivationType::none && !rounds_inputs(here))
      throw invalid_argument(fmt::format("{}: inputs are rounded to a8 or a8full in training",
                                         to_string(fake->quantizer.scheme())));
    if (out && *out != here)
      throw invalid_argument("queries, keys and values round their inputs in different ways");
    out = here;
  }
  return out.value_or(ActivationType::none);
}

// Matrices are read from where they are fake-quantized, all others where they are trained.
DecoderView<float> WholeDecoder::view(const float* trained) {
  const float* const matrices = fakes_.empty() ? trained : effective_.data();
  DecoderView<float> out = view_of<float>(layout_, trained, transposed_.data(), matrices);
  if (narrow_) narrow_->put_into(out, matrices);
  const auto round = [&](MatrixView<float>& m) {
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (m.weight == matrices + layout_.products[i].weight) m.inputs = &inputs_[i];
  };
  for (auto& layer : out.layers)
    for (auto& site : layer.sites)
      for (MatrixView<float>& m : site) round(m);
  round(out.head.matrix);
  return out;
}

DecoderSlopes<float> WholeDecoder::slopes(float* gradient) const {
  return slopes_of(layout_, gradient);
}

// One matrix as it is multiplied with.
void WholeDecoder::quantize(size_t row, const float* trained) {
  const int64_t at = layout_.offsets[row], size = layout_.table[row].shape.elements();
  float* const to = effective_.data() + at;
  Fake* const fake = on_ ? fake_of_[row] : nullptr;
  if (fake == nullptr) {
    std::copy_n(trained + at, size, to);
    return;
  }
  fake->quantizer.follow(trained + fake->learnt);
  fake->quantizer.make(trained + at, to);
}

// What products read besides the weights themselves.
void WholeDecoder::copy_product(size_t product, const float* weights) {
  const MatrixSlot& m = layout_.products[product];
  if (narrow_) narrow_->round(m, weights);
  if (!narrow_ || decides_[product])
    ops_.transpose(m.n, m.k, weights + m.weight, transposed_.data() + m.transposed, m.ld);
}

void WholeDecoder::prepare(const float* trained, int64_t share, int64_t shares) {
  if (fakes_.empty()) {
    for (int64_t i = share; i < std::ssize(layout_.products); i += shares)
      copy_product(static_cast<size_t>(i), trained);
    return;
  }
  // A product may join matrices: whoever transposes it makes what it is made of.
  for (size_t row = 0; row < layout_.table.size(); ++row) {
    if (is_weight(layout_.table[row]) && layout_.product_of_row[row] < 0 &&
        static_cast<int64_t>(row) % shares == share)
      quantize(row, trained);
  }
  for (int64_t i = share; i < std::ssize(layout_.products); i += shares) {
    for (size_t row = 0; row < layout_.table.size(); ++row)
      if (layout_.product_of_row[row] == i) quantize(row, trained);
    copy_product(static_cast<size_t>(i), effective_.data());
  }
}

void WholeDecoder::pull_back(const float* trained, float* gradient, int64_t share, int64_t shares) {
  for (int64_t i = share; i < std::ssize(fakes_); i += shares) {
    Fake& fake = fakes_[static_cast<size_t>(i)];
    const int64_t at = layout_.offsets[fake.row];
    if (on_)
      fake.quantizer.pull_back(trained + at, gradient + at, gradient + fake.learnt);
    else
      std::fill_n(gradient + fake.learnt, fake.quantizer.learnt(), 0.0f);
  }
}

void WholeDecoder::settle(Fake& fake, float* trained, int threads, bool first) {
  const ParamSpec& p = layout_.table[fake.row];
  const auto known = quantization_.known.find(p.name);
  if (first && known != quantization_.known.end() &&
      known->second.scheme == fake.quantizer.scheme())
    return fake.quantizer.settle(known->second);
  const std::span<const float> values(trained + layout_.offsets[fake.row],
                                      static_cast<size_t>(p.shape.elements()));
  fake.quantizer.settle(first_guess(Tensor::from<float>(p.shape, values), fake.quantizer.scheme(),
                                    quantization_.scale_dtype, p.name, threads));
}

void WholeDecoder::before_step(int64_t step, float* trained, int threads) {
  const int64_t since = step - quantization_.begin;
  on_ = !fakes_.empty() && since >= 0;
  for (size_t i = 0; i < inputs_.size(); ++i)
    inputs_[i] = on_ ? inputs_of(i) : ActivationType::none;
  if (!on_) return;
  for (Fake& fake : fakes_) {
    const bool first = since == 0, learnt = fake.quantizer.learnt() > 0;
    if (first || (!learnt && since % quantization_.refresh == 0))
      settle(fake, trained, threads, first);
  }
}

TrainedWeights WholeDecoder::result(const float* trained) {
  TrainedWeights out;
  for (size_t row = 0; row < layout_.table.size(); ++row) {
    const ParamSpec& p = layout_.table[row];
    const float* const values = trained + layout_.offsets[row];
    Fake* const fake = on_ ? fake_of_[row] : nullptr;
    if (fake != nullptr) {
      fake->quantizer.follow(trained + fake->learnt);
      out.emplace(p.name, fake->quantizer.pack(values));
    } else {
      out.emplace(p.name, Tensor::from<float>(
                              p.shape, std::span(values, static_cast<size_t>(p.shape.elements()))));
    }
  }
  return out;
}

std::vector<float> WholeDecoder::state() const {
  std::vector<float> out;
  for (const Fake& fake : fakes_) {
    const auto part = fake.quantizer.state();
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

void WholeDecoder::adopt_state(std::span<const float> state) {
  if (state.empty()) return;
  size_t expected = 0;
  for (const Fake& fake : fakes_) expected += static_cast<size_t>(fake.quantizer.state_size());
  if (state.size() != expected)
    throw corrupt("the checkpoint's scales are not those of the weights under training");
  for (Fake& fake : fakes_) {
    const auto size = static_cast<size_t>(fake.quantizer.state_size());
    fake.quantizer.adopt(state.first(size));
    state = state.subspan(size);
  }
  on_ = true;
}

}  // namespace nibble
