// nibble estimate: what fits into this machine's memory, and how fast it could be.
#include "nibble/jobs/estimate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/load.h"
#include "nibble/model/shapes.h"
#include "nibble/report/estimate_report.h"

namespace nibble::cli {
namespace {

struct EstimateFlags {
  EstimateJob job;
  std::string params, kv = "f16";
  double bandwidth = 0;  // GB/s
};

void run_estimate(const Common& common, const EstimateFlags& o) {
  EstimateJob job = o.job;
  job.kv = parse_kv(o.kv);
  job.bandwidth = o.bandwidth * 1e9;
  if (!o.params.empty()) job.sizes.parameters = parse_parameters(o.params);
  const EstimateResult result = estimate(job, make_exec(common));
  show(
      common, [&] { return estimate_json(result); }, [&] { return render_terminal(result); });
}

}  // namespace

void add_estimate(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("estimate", "Memory and speed that a model would need in every scheme");
  const auto o = std::make_shared<EstimateFlags>();
  const auto size = CLI::Range(int64_t{1}, int64_t{1} << 31);
  verb->add_option("model", o->job.model,
                   "Model folder, file, or a name in the Hugging Face cache");
  verb->add_option("--shape", o->job.shape,
                   fmt::format("A published shape: {}", fmt::join(shape_names(), ", ")));
  verb->add_option("--params", o->params, "A Llama-shaped model of about so many: 7B, 1.1B, 124M");
  verb->add_option("--layers", o->job.sizes.layers, "Its layers")->check(size);
  verb->add_option("--width", o->job.sizes.width, "Its hidden size")->check(size);
  verb->add_option("--heads", o->job.sizes.heads, "Its attention heads")->check(size);
  verb->add_option("--kv-heads", o->job.sizes.kv_heads, "Its heads of keys and values")
      ->check(size);
  verb->add_option("--intermediate", o->job.sizes.intermediate, "Width of its MLP")->check(size);
  verb->add_option("--vocab", o->job.sizes.vocab, "Its vocabulary")->check(size);
  verb->add_option("--context", o->job.context,
                   "Tokens in the KV cache (default: the model's context)")
      ->check(size);
  add_kv(*verb, o->kv);
  verb->add_option("--schemes", o->job.schemes, "Schemes to show")->delimiter(',');
  verb->add_option("--quantize", o->job.also, "lm_head, embeddings: the schemes cover these too")
      ->delimiter(',');
  verb->add_option("--bandwidth", o->bandwidth, "GB/s instead of measuring this machine's")
      ->check(number_between(0.001, 1e6));
  add_common(*verb, common,
             "nibble estimate --params 7B --context 4096\n  nibble estimate gpt2 --kv f32\n"
             "  nibble estimate --shape llama-1b --bandwidth 50");
  verb->callback([&common, o] { run_estimate(common, *o); });
}

}  // namespace nibble::cli
