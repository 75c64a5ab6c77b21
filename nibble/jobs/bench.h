// How fast a model, or a shape with random weights, reads and writes; alone or beside a baseline.
#pragma once

#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/load_speed.h"
#include "nibble/eval/speed.h"
#include "nibble/eval/speedup.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/jobs/notice.h"

namespace nibble {

struct BenchJob {
  ModelChoice model;  ///< where `shape` is empty; else the precision of its random weights,
                      ///< the head's included
  std::string shape;  ///< as random_model() takes it
  std::string
      against;  ///< baseline as it is stored, a model or (with `shape`) a shape; empty: none
  SpeedOptions speed;
  int load_runs = 1;  ///< of loading a model that is not quantized first; the medians count
};

struct BenchResult {
  std::string model, scheme, against, against_scheme;  ///< the names as they were given
  int threads = 1;
  std::string isa, cpu;
  SpeedOptions options;
  LoadSpeed load;           ///< of no bytes where it was not timed
  SpeedResult speed, base;  ///< the latter in the same rounds, where there is a baseline
  int64_t weight_bytes = 0, memory_bytes = 0;  ///< as in Measurement
  int64_t peak_rss_bytes = 0;                  ///< of the process
  std::string kernel, prefill_kernel;          ///< what multiplied the first weight
  std::vector<std::string> warnings;

  bool compared() const { return base.decode.runs() > 0; }
  Speedup prefill_speedup() const { return speedup(speed.prefill, base.prefill); }
  Speedup decode_speedup() const { return speedup(speed.decode, base.decode); }
  /// Bytes of weights read in a second of decoding.
  double weight_bytes_per_second() const {
    return speed.decode_tokens_per_second * static_cast<double>(weight_bytes);
  }
};

/// Error{invalid_argument} unless there is a model or a shape, and for lengths beyond the context.
BenchResult bench(const BenchJob& job, const Exec& exec, const NoticeHook& tell = {});

}  // namespace nibble
