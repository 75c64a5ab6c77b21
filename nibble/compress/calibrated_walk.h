// Quantizing with calibration: block by block, and inside a block group by group, each seeing the
// inputs that the parts quantized before it make.
#pragma once

#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/layer_store.h"
#include "nibble/compress/quantize.h"

namespace nibble {

/// Whether the walk runs its forward passes with rows and weights rounded to bf16, where the
/// processor multiplies that: wide models whose coarsest scheme errs far more.
bool walks_in_bf16(const DecoderConfig& config, const std::vector<ParameterPlan>& plans,
                   const QuantizeOptions& options);

/// Whether a walk changes weights before they are rounded, to make up for the difference: not for
/// methods that round them as they are, in front of training.
bool corrects_weights(const QuantizeOptions& options);

struct WalkTexts {
  const CalibrationText& calibration;
  /// What each layer is trained on once the method has made its weights; null: none is.
  const CalibrationText* training = nullptr;
};

/// Walks the blocks in order and puts every planned matrix of the blocks, lm_head and a table that
/// is_judged() into `store`; layers that are there already are only run through. One block's
/// weights and one group's statistics are in memory at a time, besides the residual streams of the
/// samples. Other tables, which nothing is known of, are not part of the walk. `metrics`: of the
/// weights' outputs, for methods that read them; all outputs of a weight that has none count alike.
void walk_blocks(const Model& model, const std::vector<ParameterPlan>& plans,
                 const QuantizeOptions& options, const WalkTexts& texts,
                 const OutputMetrics& metrics, LayerStore& store, const Exec& exec);

}  // namespace nibble
