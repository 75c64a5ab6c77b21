#include "nibble/jobs/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "nibble/core/error.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/perplexity.h"
#include "nibble/jobs/classifiers.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"
#include "nibble/text/line_data.h"

namespace nibble {
namespace {

constexpr int64_t kOwnSequences = 16, kOwnLength = 256;  // of at most so many tokens
constexpr int kLineSamples = 10;

// A row of the comparison; the model behind it is opened, or made, when its turn comes.
struct Candidate {
  std::string name;
  std::function<Model()> open;
};

// A comparison under way, its first model open.
struct Comparison {
  const CompareJob& job;
  const Model& first;
  const std::vector<AdapterChoice>& adapters;
  const Exec& exec;
};

Model in_scheme(const Comparison& c, const std::string& scheme) {
  const QuantizeOptions options = quantize_options({scheme, c.job.keep, c.job.also});
  return with_adapters(quantize_in_memory(c.first, options, c.exec), c.adapters);
}

bool is_f32(const std::string& scheme) { return parse_scheme(scheme).type == NumberType::f32; }

// The first model as it is stored; in f32 where that is among the schemes.
Model baseline_of(const Comparison& c) {
  const auto f32 = std::find_if(c.job.schemes.begin(), c.job.schemes.end(), is_f32);
  const bool as_stored = f32 == c.job.schemes.end() || scheme_summary(c.first) == "f32";
  return as_stored ? with_adapters(c.first, c.adapters) : in_scheme(c, *f32);
}

std::string last_part(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

// The models to measure beside the baseline.
std::vector<Candidate> candidates(const Comparison& c) {
  const std::vector<std::string>& models = c.job.models;
  std::vector<Candidate> out;
  for (size_t i = 1; i < models.size(); ++i) {
    const std::string path = models[i], name = last_part(path);
    const bool alone = std::count_if(models.begin(), models.end(), [&](const std::string& other) {
                         return last_part(other) == name;
                       }) == 1;
    out.push_back({alone ? name : path, [path] { return open_model(resolve_model(path)); }});
  }
  for (const std::string& s : c.job.schemes) {
    if (!is_f32(s))
      out.push_back({to_string(parse_scheme(s)), [&c, s] { return in_scheme(c, s); }});
  }
  return out;
}

std::vector<ScoredSequence> own_text(const CompareJob& job, const Model& base, const Exec& exec) {
  return generated_sequences(
      load_decoder(base, {.threads = exec.threads}), base.require_tokenizer(), kOwnSequences,
      std::min(kOwnLength, base.decoder_config().context), job.measure.seed, exec);
}

void refuse_other_vocabulary(const std::string& name, const Model& model, const Model& base) {
  const int64_t mine = model.decoder_config().vocab_size, theirs = base.decoder_config().vocab_size;
  if (mine == theirs) return;
  throw invalid_argument(
      fmt::format("{}: its vocabulary has {} tokens, the first model's {}", name, mine, theirs));
}

// What a candidate was found to have that the baseline has not: its own name in front.
void add_new_warnings(const Candidate& c, const Model& model, const Model& base,
                      std::vector<std::string>& warnings) {
  for (const std::string& w : model.warnings) {
    if (std::find(base.warnings.begin(), base.warnings.end(), w) == base.warnings.end())
      warnings.push_back(fmt::format("{}: {}", printable(c.name), w));
  }
}

// Warnings of all but the baseline.
std::vector<std::string> measure_all(const Comparison& c, const std::optional<Text>& text,
                                     CompareResult& out) {
  const auto others = candidates(c);
  const Model base = baseline_of(c);
  const Tokenizer& tokenizer = base.require_tokenizer();
  MeasureOptions measure = c.job.measure;
  if (!c.job.prompt.empty()) measure.prompt = tokenizer.encode(c.job.prompt, true);
  measure.samples = reads_lines(tokenizer) ? kLineSamples : 0;
  const auto data = text ? cut_text(*text, base, c.job.cut) : own_text(c.job, base, c.exec);
  const std::string base_name =
      c.job.models.size() > 1 ? last_part(c.job.models.front()) : scheme_summary(base);
  std::vector<std::string> warnings;
  out.models = {measure_model(base_name, base, base, data, measure, c.exec)};
  for (const Candidate& other : others) {
    const Model model = other.open();
    refuse_other_vocabulary(other.name, model, base);
    add_new_warnings(other, model, base, warnings);
    out.models.push_back(measure_model(other.name, model, base, data, measure, c.exec));
  }
  return warnings;
}

// What there is to measure on; nothing where the model is to write it.
std::optional<Text> text_for(CompareJob& job, const Model& first) {
  if (job.text) return job.text;
  if (!reads_lines(first.require_tokenizer())) return std::nullopt;
  job.cut.heldout = true;
  return names_text();
}

}  // namespace

CompareResult compare(const CompareJob& given, const Exec& exec, const NoticeHook& tell) {
  if (given.models.empty()) throw invalid_argument("there is no model to compare");
  CompareJob job = given;
  CompareResult out;
  out.model = job.models.front();
  out.prompt = job.prompt;
  out.run = run_info(exec, job.command);
  const auto adapters = parse_adapters(job.adapters);
  const Model first = open_model(resolve_model(out.model));
  note_warnings(warnings_of(first), tell, out.warnings);
  if (std::holds_alternative<MlpConfig>(first.config)) {
    out.classifiers = compare_classifiers(job, first, exec);
    return out;
  }
  const std::optional<Text> text = text_for(job, first);
  out.own_text = !text;
  out.measured_on = text ? describe_text(*text, job.cut) : "text that the first model wrote itself";
  if (out.own_text && tell) tell({Notice::Kind::own_text, {out.measured_on}});
  note_warnings(measure_all({job, first, adapters, exec}, text, out), tell, out.warnings);
  if (job.roof) out.roof = measure_roof(exec.threads);
  return out;
}

}  // namespace nibble
