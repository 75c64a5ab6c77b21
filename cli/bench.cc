// nibble bench: prefill and decode speed of a model, or of a shape with random weights.
#include "nibble/jobs/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/load.h"
#include "nibble/model/shapes.h"
#include "nibble/report/bench_report.h"

namespace nibble::cli {
namespace {

struct BenchFlags {
  BenchJob job;
  std::string kv = "f32";
};

void run_bench(const Common& common, const BenchFlags& o) {
  BenchJob job = o.job;
  job.speed.kv = parse_kv(o.kv);
  const BenchResult result = bench(job, make_exec(common), tell(common));
  show(
      common, [&] { return bench_json(result); }, [&] { return render_terminal(result); });
}

}  // namespace

void add_bench(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("bench", "Prefill and decode speed of a model or of a shape");
  const auto o = std::make_shared<BenchFlags>();
  add_load(*verb, o->job.model);
  verb->get_option("model")->required(false);
  verb->add_option("--shape", o->job.shape,
                   fmt::format("Random weights of a shape: {}", fmt::join(shape_names(), ", ")));
  verb->add_option("--prefill", o->job.speed.prefill, "Tokens of the prompt")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--decode", o->job.speed.decode, "Tokens generated behind it")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--sequences", o->job.speed.sequences, "Sequences decoded together")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{4096}));
  add_kv(*verb, o->kv);
  verb->add_option("--load-runs", o->job.load_runs,
                   "Times a MODEL is loaded, and its files read, in turn; the medians count")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  verb->add_option(
      "--against", o->job.against,
      "Baseline as it is stored (with --shape: a shape in f32), timed in turn with it");
  add_runs(*verb, o->job.speed.runs);
  add_common(*verb, common,
             "nibble bench --shape gpt2-124m --scheme int8:a8\n  nibble bench my-model --prefill "
             "128 --decode 32\n  nibble bench my-model-int4 --against my-model");
  verb->callback([&common, o] { run_bench(common, *o); });
}

}  // namespace nibble::cli
