// nibble compare: models, or one model in several schemes, side by side.
#include <fmt/format.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/mnist.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/cpu.h"
#include "nibble/core/date.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/core/version.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/measure.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/compare_report.h"
#include "nibble/report/demo_report.h"
#include "nibble/report/json_report.h"
#include "nibble/text/line_data.h"

namespace nibble::cli {
namespace {

constexpr int64_t kOwnSequences = 16;  // of at most 256 tokens each

struct Options {
  std::vector<std::string> models, schemes;
  std::string text, report, prompt, data;
  Protocol protocol = Protocol::windows;
  int64_t window = 0;
  bool heldout = false, force = false;
  uint64_t data_seed = 42;
  MeasureOptions measure;
};

// The models to measure, with the names of their rows; the first is the baseline.
std::vector<std::pair<std::string, ModelFolder>> candidates(const Options& o, const Exec& exec) {
  std::vector<std::pair<std::string, ModelFolder>> out;
  for (const std::string& path : o.models) out.emplace_back(path, open_model(resolve_model(path)));
  for (const std::string& scheme : o.schemes) {
    QuantizeOptions q;
    q.scheme = parse_scheme(scheme);
    if (q.scheme.type == NumberType::f32) continue;  // the baseline itself
    const size_t base = 0;
    out.emplace_back(to_string(q.scheme), quantize_in_memory(out[base].second, q, exec));
  }
  return out;
}

// Names where the model reads lines; else the model's own text, and it is said.
bool writes_its_own(const Options& o, const ModelFolder& base) {
  return o.text.empty() && !reads_lines(base.require_tokenizer());
}

std::vector<ScoredSequence> data_for(const Options& o, const Text& text, const ModelFolder& base,
                                     const Exec& exec) {
  const Tokenizer& tokenizer = base.require_tokenizer();
  const int64_t context = base.decoder_config().context;
  if (writes_its_own(o, base)) {
    return generated_sequences(load_decoder(base), tokenizer, kOwnSequences,
                               std::min<int64_t>(256, context), o.measure.seed, exec);
  }
  return naming_file(text.name, [&] {
    return scored_text(text.text, tokenizer, context,
                       {o.protocol, o.window, o.heldout || o.text.empty(), o.data_seed});
  });
}

void prepare_prompt(Options& o, const Tokenizer& tokenizer) {
  if (o.prompt.empty()) return;
  o.measure.prompt = tokenizer.encode(o.prompt, true);
}

std::vector<Measurement> measure_all(const Options& given, const Text& text, const Exec& exec) {
  Options o = given;
  const auto all = candidates(o, exec);
  const ModelFolder& base = all.front().second;
  prepare_prompt(o, base.require_tokenizer());
  const auto data = data_for(o, text, base, exec);
  std::vector<Measurement> out;
  for (const auto& [name, model] : all) {
    if (model.decoder_config().vocab_size != base.decoder_config().vocab_size) {
      throw invalid_argument(fmt::format("{}: its vocabulary has {} tokens, the first model's {}",
                                         name, model.decoder_config().vocab_size,
                                         base.decoder_config().vocab_size));
    }
    out.push_back(measure_model(name, model, base, data, o.measure, exec));
  }
  return out;
}

void write_report(const Common& common, const Options& o, const Text& text,
                  const std::vector<Measurement>& models, int threads) {
  CompareReport r;
  r.title = "nibble compare: " + o.models.front();
  r.protocol = text.text.empty()
                   ? text.name
                   : fmt::format("{}, {}", text.name,
                                 o.heldout || o.text.empty() ? "the held-out tenth" : "all of it");
  r.machine = fmt::format("{} ({}, {} threads)", cpu().model, cpu().isa, threads);
  r.date = today();
  r.version = version();
  r.command = common.command_line;
  r.models = models;
  AtomicFile file(o.report);
  file.write(render_html(r));
  file.commit();
}

void refuse_existing(const Options& o) {
  if (o.report.empty() || o.force || !std::filesystem::exists(o.report)) return;
  throw io_error("is there already; --force replaces it")
      .with_code(kExitCannotCreate)
      .in_file(o.report);
}

void run(const Common& common, const Options& o) {
  refuse_existing(o);
  if (std::holds_alternative<MlpConfig>(open_model(resolve_model(o.models.front())).config))
    return compare_mlp(common, o.models, o.schemes, o.data, o.measure.runs);
  Text text = load_text(o.text);
  if (writes_its_own(o, open_model(resolve_model(o.models.front())))) {
    text = {"text that the first model wrote itself", ""};
    say(common, "nibble: no --text was given: measuring on " + text.name);
  }
  std::vector<Measurement> models;
  int threads = 1;
  {
    const Exec exec = make_exec(common);
    threads = exec.threads;
    models = measure_all(o, text, exec);
  }
  if (!o.report.empty()) write_report(common, o, text, models, threads);
  if (common.json) return print_out(models_json(models));
  print_out(render_table(models));
  if (!o.report.empty()) print_out(fmt::format("\nThe report: {}\n", o.report));
}

}  // namespace

void add_compare(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("compare", "Models, or one model in several schemes, side by side");
  const auto o = std::make_shared<Options>();
  verb->add_option("models", o->models, "Model folders; the first is the baseline")->required();
  verb->add_option("--schemes", o->schemes,
                   "Schemes to make of the first model in memory, such as int8:a8,int4:g16")
      ->delimiter(',');
  verb->add_option("--text", o->text,
                   "Text file to measure on (default: the names nibble brings along)");
  verb->add_flag("--heldout", o->heldout, "Only the part that training held out (the last 10 %)");
  verb->add_option("--data-seed", o->data_seed, "Of the split into training and held-out lines")
      ->capture_default_str();
  verb->add_option("--prompt", o->prompt, "What samples and timed generations begin with");
  verb->add_option("--runs", o->measure.runs, "Timed generations a model")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  verb->add_option("--seed", o->measure.seed, "Of the samples, the same for every model")
      ->capture_default_str();
  verb->add_option("--report", o->report, "HTML page to write");
  verb->add_flag("--force", o->force, "Replace the page where it exists");
  verb->add_option("--data", o->data, "For an mlp: folder with MNIST's IDX files");
  add_common(*verb, common,
             "nibble compare my-model --schemes int8,int8:a8,int4:g16 --text names.txt --report "
             "compare.html");
  verb->callback([&common, o] { run(common, *o); });
}

}  // namespace nibble::cli
