// What a model, or a shape, would need in each scheme, and how fast it could be on this machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/estimate.h"

namespace nibble {

/// Of a model, of a published shape or of a shape of `sizes`: one of the three is given.
struct EstimateJob {
  std::string model;  ///< as resolve_model() takes it
  std::string shape;  ///< as random_model() takes it
  ShapeOptions sizes;
  int64_t context = 0;  ///< tokens in the cache; 0: the model's context
  DType kv = DType::f16;
  double bandwidth = 0;  ///< bytes a second; 0: measured
  std::vector<std::string> schemes = {"f32",       "bf16",          "int8",     "int6:g64",
                                      "int4:g128", "int4:g32:asym", "int3:g32", "int2:g32"};
  std::vector<std::string> also;  ///< "lm_head", "embeddings": covered as well
};

struct EstimateResult {
  std::string model;  ///< its name as it was given
  int64_t parameters = 0, layers = 0, width = 0, context = 0;
  DType kv = DType::f16;
  int64_t kv_bytes_per_token = 0;
  int64_t memory_available = 0;  ///< bytes that this process may use
  int threads = 1;
  double bandwidth = 0;   ///< bytes a second
  bool measured = false;  ///< the bandwidth, now
  std::vector<Estimate> schemes;

  bool fits(const Estimate& e) const { return e.total() <= memory_available; }
};

/// Error{out_of_memory} where too little is left to measure the bandwidth.
EstimateResult estimate(const EstimateJob& job, const Exec& exec);

}  // namespace nibble
