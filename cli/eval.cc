// nibble eval: loss and perplexity on a text, and the distance from another model.
#include "nibble/jobs/eval.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "nibble/report/eval_report.h"

namespace nibble::cli {
namespace {

struct EvalFlags {
  EvalJob job;
  std::string text, protocol = "windows", kv = "f32";
};

void run_eval(const Common& common, const EvalFlags& o) {
  EvalJob job = o.job;
  job.kv = parse_kv(o.kv);
  job.cut.protocol = parse_protocol(o.protocol);
  if (!o.text.empty()) job.text = load_text(o.text);
  const EvalResult result = evaluate(job, make_exec(common), tell(common));
  show(
      common, [&] { return eval_json(result); }, [&] { return render_terminal(result); });
}

}  // namespace

void add_eval(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("eval", "Loss, perplexity, and the distance from another model");
  const auto o = std::make_shared<EvalFlags>();
  add_load(*verb, o->job.model);
  verb->add_option("--text", o->text,
                   "Text file to measure on (default: the names nibble brings along)");
  CLI::Option* heldout = verb->add_flag("--heldout", o->job.cut.heldout,
                                        "Only the part that training held out (the last 10 %)");
  verb->add_option(
          "--protocol", o->protocol,
          fmt::format("How the text is cut and scored: {}", fmt::join(protocol_names(), ", ")))
      ->capture_default_str();
  verb->add_option("--window", o->job.cut.window,
                   "Tokens a window (default: the protocol's, or the context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_option("--data-seed", o->job.cut.data_seed,
                   "Of the split into training and held-out lines")
      ->capture_default_str()
      ->needs(heldout);
  verb->add_option("--against", o->job.against,
                   "Baseline model: KL divergence, agreement and paired loss difference");
  add_kv(*verb, o->kv);
  verb->add_option("--data", o->job.data, "For an mlp: folder with MNIST's IDX files");
  add_common(*verb, common,
             "nibble eval my-model-int4 --text names.txt --heldout --against my-model");
  verb->callback([&common, o] { run_eval(common, *o); });
}

}  // namespace nibble::cli
