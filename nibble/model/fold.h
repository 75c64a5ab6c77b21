// Folding scales into a model: the same function with other channels.
#pragma once

#include <vector>

#include "nibble/model/changed_weights.h"
#include "nibble/model/fold_sites.h"
#include "nibble/model/model.h"

namespace nibble {

struct Fold {
  FoldSite site;
  /// [site.k], positive and finite, equal where one channel makes several inputs: what the inputs
  /// are divided by and the consumers' columns multiplied by.
  std::vector<float> scales;
};

/// Adds what folding does to each tensor. Error{invalid_argument} for scales that break the
/// contract above or a site without a producer.
void add_fold(const Fold& fold, WeightChanges& changes);

/// The model with its tensors changed.
Model with_changes(const Model& model, WeightChanges changes);

}  // namespace nibble
