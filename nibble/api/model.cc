#include "nibble/api/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "nibble/api/within.h"
#include "nibble/core/in_file.h"
#include "nibble/jobs/generate.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/report/generate_report.h"

namespace nibble::api {
namespace {

ModelChoice choice_of(const std::string& model, const OpenOptions& o) {
  return {model, {o.scheme, o.keep, o.also}, o.activations, o.adapters};
}

template <class T>
void take(const std::optional<T>& from, const char* field, T& to, std::set<std::string>& given) {
  if (!from) return;
  to = *from;
  given.insert(field);
}

GenerateJob job_of(const GenerateOptions& o) {
  GenerateJob job;
  job.prompts = o.prompts;
  job.chat = o.chat;
  job.system = o.system;
  job.template_choice = {o.chat_format, o.template_arg, o.template_date};
  take(o.temperature, "temperature", job.sampling.temperature, job.given);
  take(o.top_k, "top_k", job.sampling.top_k, job.given);
  take(o.top_p, "top_p", job.sampling.top_p, job.given);
  take(o.min_p, "min_p", job.sampling.min_p, job.given);
  take(o.repetition_penalty, "repetition_penalty", job.sampling.repetition_penalty, job.given);
  take(o.typical_p, "typical_p", job.sampling.typical_p, job.given);
  take(o.top_n_sigma, "top_n_sigma", job.sampling.top_n_sigma, job.given);
  take(o.presence_penalty, "presence_penalty", job.sampling.presence_penalty, job.given);
  take(o.frequency_penalty, "frequency_penalty", job.sampling.frequency_penalty, job.given);
  take(o.dry_multiplier, "dry_multiplier", job.sampling.dry.multiplier, job.given);
  take(o.dry_base, "dry_base", job.sampling.dry.base, job.given);
  take(o.dry_allowed_length, "dry_allowed_length", job.sampling.dry.allowed_length, job.given);
  take(o.dry_breakers, "dry_breakers", job.dry_breakers, job.given);
  job.logit_bias = o.logit_bias;
  job.logprobs = o.logprobs;
  job.stop = o.stop;
  job.max_new_tokens = o.max_new_tokens;
  job.samples = o.samples;
  job.seed = o.seed;
  job.batch = o.batch;
  job.shift = o.shift;
  job.prefill_chunk = o.prefill_chunk;
  job.kv = parse_kv(o.kv);
  return job;
}

void require_at_least(int64_t value, int64_t least, const char* field) {
  if (value >= least) return;
  throw nibble::invalid_argument(fmt::format("`{}` {}: expected {} or more", field, value, least));
}

// What the command's own reading of its options sees to there.
void check_generate(const GenerateOptions& o) {
  require_at_least(o.max_new_tokens, 0, "max_new_tokens");
  require_at_least(o.samples, 1, "samples");
  require_at_least(o.batch, 1, "batch");
  require_at_least(o.prefill_chunk, 1, "prefill_chunk");
  if (o.prompts.empty()) throw nibble::invalid_argument("prompts: expected at least one");
}

std::vector<int64_t> extents(const Shape& shape) {
  return {shape.dims().begin(), shape.dims().end()};
}

}  // namespace

struct Model::State {
  nibble::Model folder;
  std::vector<std::string> warnings;
  std::once_flag once;
  std::optional<Decoder> made;

  // Weights are packed when they are first multiplied; an error of that leaves it to be tried
  // again.
  const Decoder& decoder(int threads) {
    std::call_once(once, [&] { made.emplace(load_decoder(folder, {.threads = threads})); });
    return *made;
  }
};

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::open(const std::string& model, const OpenOptions& options, const Control& control) {
  return within([&] {
    auto state = std::make_unique<State>();
    state->folder = open_choice(choice_of(model, options), exec_of(control));
    note_warnings(warnings_of(state->folder), warnings_to(control), state->warnings);
    return Model(std::move(state));
  });
}

const std::string& Model::path() const { return state_->folder.path; }
std::string Model::type() const { return std::string(model_type(state_->folder.config)); }
std::string Model::scheme() const {
  return within([&] { return scheme_summary(state_->folder); });
}
int64_t Model::vocabulary() const {
  return within([&] { return state_->folder.decoder_config().vocab_size; });
}
int64_t Model::context() const {
  return within([&] { return state_->folder.decoder_config().context; });
}
int64_t Model::parameters() const {
  int64_t out = 0;
  for (const ParamSpec& p : parameter_table(state_->folder.config)) out += p.shape.elements();
  return out;
}
const std::vector<std::string>& Model::warnings() const { return state_->warnings; }

std::vector<int32_t> Model::encode(std::string_view text, bool special) const {
  return within([&] { return state_->folder.require_tokenizer().encode(text, special); });
}

std::string Model::decode(std::span<const int32_t> ids, bool skip_special) const {
  return within([&] { return state_->folder.require_tokenizer().decode(ids, skip_special); });
}

Floats Model::logits(std::span<const int32_t> ids, const Control& control) const {
  return within([&]() -> Floats {
    const Exec exec = exec_of(control);
    const int64_t vocabulary = state_->folder.decoder_config().vocab_size;
    if (ids.empty()) throw nibble::invalid_argument("logits of no ids: give at least one");
    const Decoder& decoder = state_->decoder(exec.threads);
    KvCache cache = decoder.make_cache(std::min(std::ssize(ids), decoder.config().context));
    return {{std::ssize(ids), vocabulary}, decoder.forward(ids, cache, Decoder::Logits::all, exec)};
  });
}

std::vector<WeightInfo> Model::weights() const {
  return within([&] {
    std::vector<WeightInfo> out;
    for (const ParamSpec& p : parameter_table(state_->folder.config)) {
      const StoredAs s = state_->folder.weights->stored_as(p.name);
      out.push_back(
          {p.name, extents(p.shape),
           s.scheme ? nibble::to_string(*s.scheme) : std::string(nibble::to_string(s.dtype))});
    }
    return out;
  });
}

Floats Model::weight(std::string_view name, const Control& control) const {
  return within([&]() -> Floats {
    const std::vector<ParamSpec> table = parameter_table(state_->folder.config);
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&](const ParamSpec& p) { return p.name == name; });
    if (found == table.end())
      throw nibble::not_found(fmt::format("no weight {}", in_quotes(name))).in_file(path());
    const Tensor floats = load_weight(state_->folder, *found).floats(exec_of(control).threads);
    const auto values = floats.data<float>();
    return {extents(found->shape), {values.begin(), values.end()}};
  });
}

Generated Model::generate(const GenerateOptions& options, const Control& control,
                          const ShowHook& show) const {
  return within([&] {
    check_generate(options);
    const GenerateJob job = job_of(options);
    const Exec exec = exec_of(control);
    const nibble::GenerateResult r = nibble::generate(
        job, state_->folder, [&]() -> const Decoder& { return state_->decoder(exec.threads); },
        exec, warnings_to(control), show);
    Generated out{{}, r.warnings, generate_json(r)};
    for (const nibble::GeneratedText& t : r.texts)
      out.texts.push_back({t.prompt, t.prompt_ids, t.ids, t.text});
    return out;
  });
}

}  // namespace nibble::api
