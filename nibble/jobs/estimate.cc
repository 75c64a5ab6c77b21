#include "nibble/jobs/estimate.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/eval/bandwidth.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/model.h"
#include "nibble/model/shapes.h"

namespace nibble {
namespace {

struct EstimateSubject {
  std::string name;
  DecoderConfig config;
  DType plain = DType::bf16;
};

// What the tensors outside the blocks are stored in.
DType stored_dtype(const Model& model) {
  return model.weights->stored_as(parameter_table(model.decoder_config()).front().name).dtype;
}

EstimateSubject subject_of(const EstimateJob& job) {
  const ShapeOptions& s = job.sizes;
  const bool sized = s.parameters > 0 || s.layers > 0 || s.width > 0;
  if ((job.model.empty() ? 0 : 1) + (job.shape.empty() ? 0 : 1) + (sized ? 1 : 0) != 1)
    throw invalid_argument("give a model, a `shape` or `parameters`, one of them");
  if (!job.model.empty()) {
    const Model model = open_model(resolve_model(job.model));
    return {job.model, model.decoder_config(), stored_dtype(model)};
  }
  if (!job.shape.empty()) return {job.shape, random_model(job.shape, 42).decoder_config()};
  ShapeOptions sizes = s;
  sizes.context = job.context;
  return {"a Llama-shaped model", llama_shape(sizes)};
}

EstimateOptions options_for(const EstimateJob& job, const EstimateSubject& s, int threads) {
  EstimateOptions out;
  out.threads = threads;
  out.plain = s.plain;
  out.kv = job.kv;
  out.context = job.context > 0 ? job.context : s.config.context;
  for (const std::string& what : job.also) {
    if (what != "lm_head" && what != "embeddings")
      throw invalid_argument(fmt::format("`also` {}: use lm_head or embeddings", in_quotes(what)));
    (what == "lm_head" ? out.head : out.embeddings) = true;
  }
  return out;
}

double measure_bandwidth(int threads) {
  BandwidthOptions options;
  options.threads = threads;
  options.bytes = std::clamp<int64_t>(usable_memory_bytes() / 8, 1 << 20, options.bytes);
  const double out = measure_read_bandwidth(options);
  if (out > 0) return out;
  throw out_of_memory(
      "too little memory is left to measure how fast it is read; give `bandwidth`, in GB/s");
}

}  // namespace

EstimateResult estimate(const EstimateJob& job, const Exec& exec) {
  const EstimateSubject subject = subject_of(job);
  const EstimateOptions options = options_for(job, subject, exec.threads);
  EstimateResult out;
  for (const std::string& s : job.schemes)
    out.schemes.push_back(estimate(subject.config, parse_scheme(s), options));
  out.model = subject.name;
  out.parameters = parameter_count(subject.config);
  out.layers = subject.config.layers;
  out.width = subject.config.hidden_size;
  out.context = options.context;
  out.kv = job.kv;
  out.kv_bytes_per_token = kv_bytes_per_token(subject.config, job.kv);
  out.threads = exec.threads;
  out.measured = job.bandwidth <= 0;
  out.bandwidth = out.measured ? measure_bandwidth(exec.threads) : job.bandwidth;
  out.memory_available = usable_memory_bytes();
  return out;
}

}  // namespace nibble
