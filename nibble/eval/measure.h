// One function measures every model the same way.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/measurement.h"
#include "nibble/eval/protocol.h"
#include "nibble/eval/rounds.h"
#include "nibble/model/model.h"

namespace nibble {

struct MeasureOptions {
  int runs = kEnoughRuns;  ///< timed rounds of generations; 0: nothing is timed
  int warmup = 1;          ///< untimed ones before them
  int samples = 10;
  double temperature = 0.5;  ///< of the samples
  uint64_t seed = 42;        ///< of the samples, the same for every model
  bool time_dequantized =
      true;  ///< time the same model with weights dequantized on the fly as well
  /// What samples and timed generations begin with; empty means BOS, or the first held-out token
  /// where there is none.
  std::vector<int32_t> prompt;
  int64_t max_new_tokens = 0;      ///< 0: what the context holds, at most 64
  DType kv = DType::f32;           ///< of the KV cache
  bool throughput = false;         ///< time prefill and decode apart
  std::vector<int32_t> stop = {};  ///< ends a sample, beside what the tokenizer's files name
  /// Texts written behind beginnings of the sequences, and one behind the prompt, to compare with
  /// the baseline's; 0: none.
  int64_t continuations = 0;
};

/// Everything of one model: sizes, loss and divergence over `sequences` against `base`, samples,
/// speed, in rounds that the baseline takes part in. `name` is for the row. Sequences hold n + 1
/// ids for n predictions. `folder` and `base` may be the same object: it is timed alone then.
Measurement measure_model(const std::string& name, const Model& folder, const Model& base,
                          const std::vector<ScoredSequence>& sequences,
                          const MeasureOptions& options, const Exec& exec);

/// Samples of a model: text behind `prompt` until a token that ends it or the context's end.
std::vector<std::string> draw_samples(const Decoder& model, const Tokenizer& tokenizer,
                                      std::span<const int32_t> prompt,
                                      const MeasureOptions& options, const Exec& exec);

/// Labelled inputs for a classifier. `labels` may be empty.
struct ClassifierData {
  std::vector<float> inputs;  ///< [n, width]
  std::vector<uint8_t> labels;
  int64_t count = 0;
};

/// Accuracy, agreement with the baseline, mean squared error of the outputs, size and time of one
/// batch, timed in turn with the baseline's unless it is the same object.
ClassifierMeasurement measure_classifier(const std::string& name, const Model& folder,
                                         const Model& base, const ClassifierData& data, int runs,
                                         const Exec& exec);

/// Stored bits a weight over the candidate matrices, as the folder holds them (DESIGN section 8).
double stored_bits_per_weight(const Model& model);

}  // namespace nibble
