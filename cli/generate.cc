// nibble generate: text from a model.
#include "nibble/jobs/generate.h"

#include <memory>

#include "cli/command.h"
#include "cli/dialogue.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/prompts.h"
#include "nibble/core/error.h"
#include "nibble/nn/sampling_fields.h"
#include "nibble/report/generate_report.h"

namespace nibble::cli {
namespace {

struct GenerateFlags {
  GenerateJob job;
  PromptFiles prompts;
  std::string kv = "f32";
};

std::set<std::string> fields_given(const CLI::App& verb) {
  std::set<std::string> out;
  for (const CLI::Option* option : verb.get_options()) {
    if (option->count() > 0) out.emplace(field_of(option->get_name()));
  }
  return out;
}

void run_generate(const Common& common, const CLI::App& verb, const GenerateFlags& o) {
  GenerateJob job = o.job;
  validate(job.sampling);
  job.kv = parse_kv(o.kv);
  job.given = fields_given(verb);
  if (job.logprobs && !common.json && common.host == nullptr)
    throw invalid_argument("--logprobs: they are shown by --json alone");
  const bool no_prompt =
      job.prompts.empty() && o.prompts.file.empty() && o.prompts.lines_file.empty();
  if (job.chat && no_prompt && common.host == nullptr) return run_dialogue(common, job);
  job.prompts = prompt_texts(job.prompts, o.prompts);
  const bool whole = common.json || common.host != nullptr;
  const GenerateResult result =
      generate(job, make_exec(common), tell(common), whole ? ShowHook() : print_raw);
  if (!whole) return;  // it has been shown as it came
  show(
      common, [&] { return generate_json(result); },
      [&] {
        std::string text;
        for (const GeneratedText& t : result.texts) text += t.text + "\n";
        return text;
      });
}

// The option of a field of the sampling, whose words it has.
void add_field(CLI::App& verb, const std::string& flag, SamplingOptions& sampling) {
  for (const SamplingField& f : sampling_fields()) {
    if (f.name != field_of(flag)) continue;
    CLI::Option* option = f.real != nullptr
                              ? verb.add_option(flag, *f.real(sampling), std::string(f.help))
                              : verb.add_option(flag, *f.whole(sampling), std::string(f.help));
    option->capture_default_str();
  }
}

void add_sampling(CLI::App& verb, GenerateJob& o) {
  for (const char* flag :
       {"--temperature", "--top-k", "--top-p", "--min-p", "--typical-p", "--top-n-sigma",
        "--repetition-penalty", "--presence-penalty", "--frequency-penalty", "--dry-multiplier",
        "--dry-base", "--dry-allowed-length"})
    add_field(verb, flag, o.sampling);
  verb.add_option("--dry-breaker", o.dry_breakers,
                  "DRY: repetitions do not reach across this text (repeatable; none: nothing "
                  "breaks them)")
      ->default_str("newline : \" *");
  verb.add_option("--logit-bias", o.logit_bias,
                  "ID=VALUE or TEXT=VALUE, as 13=-inf: added to the logit of a token, TEXT being "
                  "one token (repeatable)");
  verb.add_option("--logprobs", o.logprobs,
                  "With --json: the log probability of each token, and the N likeliest in its "
                  "place");
}

void add_length(CLI::App& verb, GenerateJob& o) {
  verb.add_option("--max-new-tokens", o.max_new_tokens,
                  "Most tokens to generate (default: what the context holds, at most 256)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb.add_flag("--shift", o.shift, "Where the context is full, drop its older half and go on");
  verb.add_option("--stop", o.stop, "End the text before this string (repeatable)");
  verb.add_option("--samples", o.samples, "Texts for each prompt, each with its own seed")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  verb.add_option("--seed", o.seed, "Of a prompt's first text; the next ones count up from it")
      ->capture_default_str();
  verb.add_option("--batch", o.batch, "Texts that are generated together")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  verb.add_option("--prefill-chunk", o.prefill_chunk,
                  "Most tokens of a prompt that are read at once")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
}

}  // namespace

void add_generate(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("generate", "Generate text");
  const auto o = std::make_shared<GenerateFlags>();
  add_load(*verb, o->job.model);
  add_prompts(*verb, o->prompts, o->job);
  add_length(*verb, o->job);
  add_sampling(*verb, o->job);
  add_kv(*verb, o->kv);
  add_common(*verb, common,
             "nibble generate my-model --prompt ka --samples 5 --temperature 0.7\n"
             "  nibble generate my-model --prompt ka --dry-multiplier 0.8 --logit-bias 13=-inf\n"
             "  nibble generate my-model --prompt ka --logprobs 5 --json\n"
             "  nibble generate gpt2 --scheme int8 --prompt 'Once upon a time' --temperature 0\n"
             "  nibble generate Qwen/Qwen2.5-0.5B-Instruct --chat --prompt 'Why is the sky blue?'\n"
             "  nibble generate Qwen/Qwen3-0.6B --chat --template-arg enable_thinking=false\n"
             "  nibble generate my-model --prompts-file prompts.txt --shift --max-new-tokens 4000");
  verb->callback([&common, verb, o] { run_generate(common, *verb, *o); });
}

}  // namespace nibble::cli
