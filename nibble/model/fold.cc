#include "nibble/model/fold.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "nibble/core/error.h"

namespace nibble {
namespace {

using Factors = std::shared_ptr<const std::vector<float>>;

void check(const Fold& fold) {
  const FoldSite& s = fold.site;
  const std::string where = "input of " + (s.consumers.empty() ? "nothing" : s.consumers[0]);
  if (s.producer == Producer::none)
    throw invalid_argument("nothing takes its scales up: " + s.refusal).at(where);
  if (static_cast<int64_t>(fold.scales.size()) != s.k)
    throw invalid_argument(fmt::format("expected {} scales, found {}", s.k, fold.scales.size()))
        .at(where);
  std::vector<float> first(static_cast<size_t>(s.channels()), 0.0f);
  for (int64_t i = 0; i < s.k; ++i) {
    const float v = fold.scales[static_cast<size_t>(i)];
    float& seen = first[static_cast<size_t>(s.channel_of(i))];
    if (!std::isfinite(v) || v <= 0 || (seen != 0 && seen != v))
      throw invalid_argument(fmt::format("scale {} is {}: scales are positive, and equal where one "
                                         "channel is read twice",
                                         i, v))
          .at(where);
    seen = v;
  }
}

// Rows (or elements) of the producer, divided by the factors of its channels.
WeightChange divide_rows(Factors by, const FoldSite& site) {
  std::vector<size_t> rows;
  for (int64_t c = 0; c < std::ssize(*by); ++c) rows.push_back(static_cast<size_t>(site.row_of(c)));
  return [by = std::move(by), rows = std::move(rows)](const Shape& shape, std::span<float> values) {
    const auto k = shape.rank() == 2 ? static_cast<size_t>(shape[1]) : size_t{1};
    NIBBLE_CHECK((rows.back() + 1) * k <= values.size());
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t j = 0; j < k; ++j) values[rows[r] * k + j] /= (*by)[r];
    }
  };
}

WeightChange scale_columns(Factors by) {
  return [by = std::move(by)](const Shape& shape, std::span<float> values) {
    const auto k = static_cast<size_t>(shape[1]);
    NIBBLE_CHECK(by->size() == k);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= (*by)[i % k];
  };
}

}  // namespace

void add_fold(const Fold& fold, WeightChanges& changes) {
  check(fold);
  const FoldSite& s = fold.site;
  std::vector<float> channels(static_cast<size_t>(s.channels()));
  for (int64_t i = 0; i < s.k; ++i)
    channels[static_cast<size_t>(s.channel_of(i))] = fold.scales[static_cast<size_t>(i)];
  const auto rows = std::make_shared<const std::vector<float>>(std::move(channels));
  const auto columns = std::make_shared<const std::vector<float>>(fold.scales);
  changes.changes[s.weight].push_back(divide_rows(rows, s));
  if (!s.bias.empty()) changes.changes[s.bias].push_back(divide_rows(rows, s));
  for (const std::string& name : s.consumers)
    changes.changes[name].push_back(scale_columns(columns));
}

Model with_changes(const Model& model, WeightChanges changes) {
  Model out{model.path, model.config, nullptr, model.companions};
  // What is changed is plain there, too, so only the rest has codes.
  if (model.as_stored != nullptr) out.as_stored = change_weights(model.as_stored, changes);
  out.weights = change_weights(model.weights, std::move(changes));
  return out;
}

}  // namespace nibble
