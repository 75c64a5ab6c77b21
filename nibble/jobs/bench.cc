#include "nibble/jobs/bench.h"

#include <optional>

#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/shapes.h"

namespace nibble {
namespace {

constexpr uint64_t kShapeSeed = 42;

// Only a model as it is stored: quantizing it would be what takes the time.
bool times_loading(const BenchJob& job) { return job.shape.empty() && job.model.in.scheme.empty(); }

// Both sides of a comparison quantize the head: it is the table itself where they are tied.
QuantizeOptions with_head(const Precision& in, const DecoderConfig& config) {
  QuantizeOptions q = quantize_options(in);
  q.also = {"lm_head"};
  if (config.tied) q.also.push_back("embeddings");
  return q;
}

Model open_subject(const BenchJob& job, const Exec& exec) {
  if (job.shape.empty()) return open_choice(job.model, exec);
  Model model = random_model(job.shape, kShapeSeed);
  if (job.model.in.scheme.empty()) return model;
  return quantize_in_memory(model, with_head(job.model.in, model.decoder_config()), exec);
}

Model open_bench_base(const BenchJob& job) {
  return job.shape.empty() ? open_model(resolve_model(job.against))
                           : random_model(job.against, kShapeSeed);
}

std::string first_kernel(const Decoder& model) {
  std::string name;
  model.for_each_linear([&](const LinearGroup& g, size_t i) {
    if (name.empty()) name = g.kernel_name(i);
  });
  return name;
}

// The weights as they were loaded are let go on return, before the time is taken.
Decoder decoder_of(const Model& folder, const Exec& exec, const NoticeHook& tell,
                   std::string& scheme, BenchResult& out) {
  note_warnings(warnings_of(folder), tell, out.warnings);
  scheme = scheme_summary(folder);
  return load_decoder(folder, {.threads = exec.threads});
}

void describe_subject(const Decoder& model, BenchResult& out) {
  out.weight_bytes = static_cast<int64_t>(model.weight_bytes());
  out.memory_bytes = static_cast<int64_t>(model.memory_bytes());
  out.peak_rss_bytes = peak_memory_bytes();
  out.kernel = first_kernel(model);
  out.prefill_kernel = first_kernel(model);
}

}  // namespace

BenchResult bench(const BenchJob& job, const Exec& exec, const NoticeHook& tell) {
  if (job.shape.empty() == job.model.model.empty())
    throw invalid_argument("give a model or a `shape`, one of them");
  BenchResult out;
  out.model = job.shape.empty() ? job.model.model : job.shape;
  out.against = job.against;
  out.threads = exec.threads;
  out.isa = cpu().isa;
  out.cpu = cpu().model;
  out.options = job.speed;
  if (times_loading(job))
    out.load = measure_load(resolve_model(job.model.model), {exec.threads, job.load_runs});
  const Decoder model = decoder_of(open_subject(job, exec), exec, tell, out.scheme, out);
  std::vector<const Decoder*> models = {&model};
  std::optional<Decoder> base;
  if (!job.against.empty()) {
    base.emplace(decoder_of(open_bench_base(job), exec, tell, out.against_scheme, out));
    models.push_back(&*base);
  }
  auto results = measure_speed(models, job.speed, exec);
  out.speed = std::move(results.front());
  if (base) out.base = std::move(results.back());
  describe_subject(model, out);
  return out;
}

}  // namespace nibble
