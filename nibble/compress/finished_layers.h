// The layers of a calibrated run: quantized into a store, taken out of it, and what is left of them
// when the run fails.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "nibble/compress/layer_store.h"
#include "nibble/compress/prepare.h"

namespace nibble {

/// "OUT.resume"
std::string resume_folder(const std::string& out);

/// OUT.resume of the run that makes the folder `out`; the caller removes it when all is written.
/// Notes in `result` what was taken over from a run that was stopped.
std::unique_ptr<FolderStore> open_layers(const Model& original, const std::string& out,
                                         const QuantizeOptions& options, QuantizeResult& result);

/// Calibrates and quantizes every matrix that is multiplied, and a table that is_judged(), into
/// `store`.
void quantize_layers(const Model& original, const Prepared& ready, LayerStore& store,
                     const Exec& exec);

/// One parameter as it is to be written: from the store where a calibrated method put it there.
Weight finished_weight(const Prepared& ready, const ParameterPlan& plan, const LayerStore& store,
                       int threads);

/// Runs `work`. Where it fails, finished layers stay if a second run could use them: not where the
/// model is what is wrong, since a mended one is another (what options.strict refuses may be
/// allowed). `store`: null where nothing is calibrated.
void keeping_useful_layers(FolderStore* store, const QuantizeOptions& options,
                           const std::function<void()>& work);

}  // namespace nibble
