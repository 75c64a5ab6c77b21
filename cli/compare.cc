// nibble compare: models, or one model in several schemes, side by side.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "cli/mnist.h"
#include "cli/outputs.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/counted.h"
#include "nibble/core/cpu.h"
#include "nibble/core/date.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/core/version.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/peak.h"
#include "nibble/eval/perplexity.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/compare_report.h"
#include "nibble/text/line_data.h"

namespace nibble::cli {
namespace {

constexpr int64_t kOwnSequences = 16;  // of at most 256 tokens each
constexpr int kLineSamples = 10;

struct CompareFlags {
  std::vector<std::string> models, schemes, keep, also;
  std::string text, report, prompt, data, kv = "f32";
  Protocol protocol = Protocol::windows;
  int64_t window = 0;
  bool heldout = false, force = false;
  uint64_t data_seed = 42;
  MeasureOptions measure;
};

// A row of the comparison; the model behind it is opened, or made, when its turn comes.
struct Candidate {
  std::string name;
  std::function<ModelFolder()> open;
};

ModelFolder in_scheme(const CompareFlags& o, const QuantScheme& scheme, const Exec& exec) {
  QuantizeOptions q;
  q.scheme = scheme;
  for (const std::string& k : o.keep) q.keep.push_back(parse_keep_rule(k));
  q.also = o.also;
  return quantize_in_memory(open_model(resolve_model(o.models.front())), q, exec);
}

// The first model as it is stored; in f32 where that is among the schemes.
ModelFolder open_base(const CompareFlags& o, const Exec& exec) {
  ModelFolder model = open_model(resolve_model(o.models.front()));
  for (const std::string& s : o.schemes) {
    const QuantScheme scheme = parse_scheme(s);
    if (scheme.type == NumberType::f32 && scheme_summary(model) != "f32")
      return in_scheme(o, scheme, exec);
  }
  return model;
}

std::string last_part(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

// The models to measure beside the baseline.
std::vector<Candidate> candidates(const CompareFlags& o, const Exec& exec) {
  std::vector<Candidate> out;
  for (size_t i = 1; i < o.models.size(); ++i) {
    const std::string path = o.models[i];
    const auto same = [&](const std::string& other) { return last_part(other) == last_part(path); };
    const bool alone = std::count_if(o.models.begin(), o.models.end(), same) == 1;
    out.push_back(
        {alone ? last_part(path) : path, [path] { return open_model(resolve_model(path)); }});
  }
  for (const std::string& s : o.schemes) {
    const QuantScheme scheme = parse_scheme(s);
    if (scheme.type == NumberType::f32) continue;  // the baseline itself
    out.push_back({to_string(scheme), [&o, &exec, scheme] { return in_scheme(o, scheme, exec); }});
  }
  return out;
}

// Names where the model reads lines; else the model's own text, and it is said.
bool writes_its_own(const CompareFlags& o, const ModelFolder& base) {
  return o.text.empty() && !reads_lines(base.require_tokenizer());
}

std::vector<ScoredSequence> data_for(const CompareFlags& o, const Text& text,
                                     const ModelFolder& base, const Exec& exec) {
  const Tokenizer& tokenizer = base.require_tokenizer();
  const int64_t context = base.decoder_config().context;
  if (writes_its_own(o, base)) {
    return generated_sequences(load_decoder(base, {.threads = exec.threads}), tokenizer,
                               kOwnSequences, std::min<int64_t>(256, context), o.measure.seed,
                               exec);
  }
  return naming_file(text.name, [&] {
    auto data = scored_text(text.text, tokenizer, context,
                            {o.protocol, o.window, o.heldout || o.text.empty(), o.data_seed});
    require_predictions(data);
    return data;
  });
}

void refuse_other_vocabulary(const std::string& name, const ModelFolder& model,
                             const ModelFolder& base) {
  const int64_t mine = model.decoder_config().vocab_size, theirs = base.decoder_config().vocab_size;
  if (mine == theirs) return;
  throw invalid_argument(
      fmt::format("{}: its vocabulary has {} tokens, the first model's {}", name, mine, theirs));
}

// What a candidate was found to have that the baseline has not: its own name in front.
void note_warnings(const Candidate& c, const ModelFolder& model, const ModelFolder& base,
                   std::vector<std::string>& warnings) {
  for (const std::string& w : model.warnings) {
    if (std::find(base.warnings.begin(), base.warnings.end(), w) == base.warnings.end())
      warnings.push_back(fmt::format("{}: {}", printable(c.name), w));
  }
}

std::vector<Measurement> measure_all(const CompareFlags& given, const Text& text, const Exec& exec,
                                     std::vector<std::string>& warnings) {
  CompareFlags o = given;
  const auto others = candidates(o, exec);
  const ModelFolder base = open_base(o, exec);
  const Tokenizer& tokenizer = base.require_tokenizer();
  if (!o.prompt.empty()) o.measure.prompt = tokenizer.encode(o.prompt, true);
  o.measure.samples = reads_lines(tokenizer) ? kLineSamples : 0;
  const auto data = data_for(o, text, base, exec);
  const std::string base_name =
      o.models.size() > 1 ? last_part(o.models.front()) : scheme_summary(base);
  std::vector<Measurement> out = {measure_model(base_name, base, base, data, o.measure, exec)};
  for (const Candidate& c : others) {
    const ModelFolder model = c.open();
    refuse_other_vocabulary(c.name, model, base);
    note_warnings(c, model, base, warnings);
    out.push_back(measure_model(c.name, model, base, data, o.measure, exec));
  }
  return out;
}

CompareReport report_of(const Common& common, const CompareFlags& o, const Text& text,
                        bool own_text, const std::vector<Measurement>& models, int threads) {
  CompareReport r;
  r.title = "nibble compare: " + o.models.front();
  r.prompt = o.prompt;
  r.own_text = own_text;
  r.protocol = own_text
                   ? text.name
                   : fmt::format("{}, {}, protocol {}", text.name,
                                 o.heldout || o.text.empty() ? "the held-out tenth" : "all of it",
                                 to_string(o.protocol));
  r.machine = fmt::format("{} ({}, {})", cpu().model, cpu().isa, counted(threads, "thread"));
  r.date = today();
  r.version = version();
  r.command = common.command_line;
  r.models = models;
  return r;
}

std::vector<std::string> inputs_of(const CompareFlags& o) {
  std::vector<std::string> out = {o.text, o.data};
  for (const std::string& model : o.models) {
    for (std::string& path : model_inputs(resolve_model(model))) out.push_back(std::move(path));
  }
  return out;
}

void run_compare(const Common& common, const CompareFlags& given) {
  CompareFlags o = given;
  o.measure.kv = parse_kv(o.kv);
  refuse_inputs_as_outputs({"", o.report}, inputs_of(o));
  const auto page = open_report(o.report, o.force);
  const ModelFolder first = open_model(resolve_model(o.models.front()));
  warn(common, first);
  if (std::holds_alternative<MlpConfig>(first.config))
    return compare_mlp(common, o.models, o.schemes, o.data, o.measure.runs);
  Text text = load_text(o.text);
  const bool own_text = writes_its_own(o, first);
  if (own_text) {
    text = {"text that the first model wrote itself", ""};
    say(common, "nibble: no --text was given: measuring on " + text.name);
  }
  std::vector<Measurement> models;
  std::vector<std::string> warnings;
  int threads = 1;
  {
    const Exec exec = make_exec(common);
    threads = exec.threads;
    models = measure_all(o, text, exec, warnings);
  }
  show_warnings(common, warnings);
  CompareReport report = report_of(common, o, text, own_text, models, threads);
  if (page) {
    report.roof = measure_roof(threads);
    page->write(render_html(report));
    page->commit();
  }
  if (common.json) return print_raw(compare_json(report));
  print_out(render_terminal(report));
  if (page) print_out(fmt::format("\nThe report: {}\n", o.report));
}

}  // namespace

void add_compare(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("compare", "Models, or one model in several schemes, side by side");
  const auto o = std::make_shared<CompareFlags>();
  o->measure.throughput = true;
  o->measure.continuations = 8;
  verb->add_option("models", o->models, "Model folders; the first is the baseline")->required();
  verb->add_option("--schemes", o->schemes,
                   "Schemes to make of the first model in memory, such as int8:a8,int4:g16")
      ->delimiter(',');
  verb->add_option("--keep", o->keep,
                   "PATTERN[=f32|f16|bf16]: tensors the schemes leave plain (repeatable)");
  verb->add_option("--quantize", o->also, "lm_head, embeddings: the schemes cover these too")
      ->delimiter(',');
  verb->add_option("--text", o->text,
                   "Text file to measure on (default: names for models that read names, else text "
                   "that the model writes itself)");
  verb->add_option_function<std::string>(
          "--protocol", [o](const std::string& p) { o->protocol = parse_protocol(p); },
          fmt::format("How the text is cut and scored: {}", fmt::join(protocol_names(), ", ")))
      ->default_str("windows");
  verb->add_option("--window", o->window,
                   "Tokens a window (default: the protocol's, or the context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_flag("--heldout", o->heldout, "Only the part that training held out (the last 10 %)");
  verb->add_option("--data-seed", o->data_seed, "Of the split into training and held-out lines")
      ->capture_default_str();
  verb->add_option("--prompt", o->prompt, "What samples and timed generations begin with");
  verb->add_option("--continuations", o->measure.continuations,
                   "Texts each model writes, to see how far they stay the same; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 100'000));
  verb->add_option("--max-new-tokens", o->measure.max_new_tokens,
                   "Most tokens of the text behind the prompt (default: 64)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  add_kv(*verb, o->kv);
  add_runs(*verb, o->measure.runs);
  verb->add_option("--seed", o->measure.seed, "Of the samples, the same for every model")
      ->capture_default_str();
  verb->add_option("--report", o->report, "HTML page to write");
  verb->add_flag("--force", o->force, "Replace the page where it exists");
  verb->add_option("--data", o->data, "For an mlp: folder with MNIST's IDX files");
  add_common(*verb, common,
             "nibble compare my-model --schemes int8,int8:a8,int4:g16 --text names.txt --report "
             "compare.html\n"
             "  nibble compare gpt2 --schemes f32,bf16,int8,int8:a8,int4:g128 --prompt 'Once upon' "
             "--runs 12\n"
             "  nibble compare my-model my-model-int4 --text book.txt --heldout");
  verb->callback([&common, o] { run_compare(common, *o); });
}

}  // namespace nibble::cli
