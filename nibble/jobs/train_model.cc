#include "nibble/jobs/train_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/untie.h"
#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/jobs/train_data.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/plain_model.h"
#include "nibble/train/presets.h"
#include "nibble/train/teacher.h"

namespace nibble {
namespace {

constexpr int64_t kUsualWindow = 256;  // tokens, of a model that goes on

constexpr double kLoraRate = 2e-3;

// Stands for weights that are not drawn yet: who plans asks for their types only.
class WeightsToCome : public WeightSource {
 public:
  Weight get(std::string_view name) const override {
    throw not_found("it has not been trained yet").at("tensor " + in_quotes(name));
  }
  StoredAs stored_as(std::string_view) const override { return {}; }
  int64_t file_bytes() const override { return 0; }
};

TrainedModel from_random_weights(const TrainJob& job) {
  TrainedModel out;
  out.options = preset(job.config ? "char" : job.preset);
  if (job.config) out.options.config = *job.config;
  if (!job.tokenizer.empty()) {
    out.model.companions = of_file_in(job.tokenizer);
    const int64_t rows = out.model.companions->tokenizer()->vocab_size();
    if (out.options.config.vocab_size < rows) out.options.config.vocab_size = rows;
  } else {
    out.characters = naming_file(job.text.name, [&] {
      return CharTokenizer::from_text(job.text.text, !out.options.random_windows);
    });
    out.options.config.vocab_size = out.characters->vocab_size();
    out.model.companions = tokenizer_alone(std::make_shared<CharTokenizer>(*out.characters));
  }
  validate(out.options.config);
  out.model.config = out.options.config;
  out.model.weights = std::make_shared<WeightsToCome>();
  return out;
}

TrainedModel from_model(const TrainJob& job) {
  TrainedModel out;
  out.from_scratch = false;
  out.model = open_model(resolve_model(job.from));
  if (!job.lora.asked()) out.model = plain_model(out.model);
  out.warnings = out.model.warnings;
  TrainOptions& o = out.options;
  o.config = out.model.decoder_config();
  o.adam = {.learning_rate = 3e-4,
            .beta1 = 0.9,
            .beta2 = 0.95,
            .warmup_steps = 20,
            .schedule = Schedule::cosine,
            .final_fraction = 0.1,
            .clip_norm = 1};
  if (job.lora.asked()) o.adam.learning_rate = kLoraRate;
  o.batch = 8;
  o.random_windows = !reads_lines(out.model.require_tokenizer());
  o.window = std::min(o.config.context, kUsualWindow);
  return out;
}

void take_options(const TrainJob& job, TrainOptions& o) {
  const auto take = [](const auto& given, auto& to) {
    if (given) to = *given;
  };
  take(job.steps, o.steps);
  take(job.batch, o.batch);
  take(job.learning_rate, o.adam.learning_rate);
  take(job.weight_decay, o.adam.weight_decay);
  take(job.clip_norm, o.adam.clip_norm);
  take(job.final_fraction, o.adam.final_fraction);
  take(job.beta1, o.adam.beta1);
  take(job.beta2, o.adam.beta2);
  if (!job.from.empty()) o.adam.warmup_steps = std::min(o.adam.warmup_steps, o.steps / 10);
  take(job.warmup_steps, o.adam.warmup_steps);
  if (!job.schedule.empty()) o.adam.schedule = parse_schedule(job.schedule);
  if (job.window > 0) o.window = job.window;
  o.seed = job.seed;
  o.batch *= job.accumulate;
  o.step.accumulate = job.accumulate;
  o.step.recompute = job.recompute;
  o.step.bf16 = job.bf16;
  o.step.expert_balance = job.expert_balance;
  if (job.expert_balance > 0 && o.config.experts == 0)
    throw invalid_argument("`expert_balance`: the model has no experts");
  o.step.distill_share = job.distill_share;
  o.step.corrupt = job.corrupt;
}

QuantizeOptions quantize_options_of(const QatJob& qat) {
  QuantizeOptions q;
  q.scheme = parse_scheme(qat.scheme);
  q.scale_dtype = qat.scale_dtype;
  q.also = qat.also;
  for (const std::string& k : qat.keep) q.keep.push_back(parse_keep_rule(k));
  for (const std::string& s : qat.set) q.set.push_back(parse_set_rule(s));
  q.in_memory = true;
  return q;
}

// What quantize() would quantize; weights of a quantized source in the same scheme keep their
// scales to begin with.
void plan_fake_quantization(const TrainJob& job, TrainedModel& out) {
  const QatJob& qat = job.qat;
  constexpr int64_t kFirstShare = 3;  // of the steps, in floats
  QuantizeOptions q = quantize_options_of(qat);
  if (!job.out.empty()) q = options_for_output(out.model, job.out, std::move(q));
  check_options(q);
  if (auto untied = untied_model(out.model, q, out.warnings)) {
    out.model = std::move(*untied);
    out.options.config = out.model.decoder_config();
  }
  out.plans = plan_quantization(out.model, q, out.warnings);
  FakeQuantization& fake = out.options.quantization;
  fake.scale_dtype = qat.scale_dtype;
  fake.begin = qat.begin.value_or(out.from_scratch ? out.options.steps / kFirstShare : 0);
  fake.scale_rate = qat.scale_rate.value_or(fake.scale_rate);
  for (const ParameterPlan& plan : out.plans) {
    if (!plan.scheme) continue;
    fake.schemes.emplace(plan.spec.name, *plan.scheme);
    const auto* stored = out.model.as_stored.get();
    if (stored == nullptr || stored->stored_as(plan.spec.name).scheme != plan.scheme) continue;
    const Weight w = stored->get(plan.spec.name);
    if (!w.quantized().input_order) fake.known.emplace(plan.spec.name, w.quantized());
  }
  if (fake.schemes.empty()) throw invalid_argument("`qat`: nothing of the model is quantized");
}

void freeze(const TrainJob& job, TrainedModel& out) {
  for (const std::string& pattern : job.freeze) {
    const size_t before = out.options.frozen.size();
    for (const ParamSpec& p : parameter_table(out.options.config))
      if (glob_match(pattern, p.name)) out.options.frozen.insert(p.name);
    if (out.options.frozen.size() == before)
      throw invalid_argument(
          fmt::format("`freeze` {}: no parameter has such a name that is not "
                      "frozen already (`nibble inspect` lists them)",
                      in_quotes(pattern)));
  }
}

// A checkpoint belongs to the same beginning.
std::string origin_of(const Model& model) { return content_hash(model); }

void take_teacher(const TrainJob& job, TrainedModel& out) {
  const Model teacher = plain_model(open_model(resolve_model(job.distill)));
  const DecoderConfig& config = teacher.decoder_config();
  if (config.vocab_size != out.options.config.vocab_size)
    throw invalid_argument(fmt::format("`distill`: {} has a vocabulary of {}, the model one of {}",
                                       in_quotes(job.distill), config.vocab_size,
                                       out.options.config.vocab_size));
  const WeightLoader load = [&](const ParamSpec& p) { return load_weight(teacher, p); };
  out.options.step.teacher = std::make_shared<Teacher>(config, load, best_train_ops());
  out.options.origin += " taught by " + origin_of(teacher);
}

void take_lora(const TrainJob& job, TrainedModel& out) {
  if (out.from_scratch) throw invalid_argument("`lora` needs a model to adapt: give `from`");
  if (!job.qat.scheme.empty())
    throw invalid_argument("`qat` and `lora`: one run trains the weights or an adapter, not both");
  if (!job.freeze.empty())
    throw invalid_argument("`freeze` and `lora`: the base of an adapter stays as it is anyhow");
  if (job.bf16)
    throw invalid_argument(
        "`bf16` and `lora`: a base is multiplied with as it is stored; leave it out");
  out.lora = plan_lora(job, out.model);
  out.options.origin += out.lora->described;
  out.start.parts = [load = out.start.load, options = out.lora->options](
                        const ParamLayout& layout, const TrainOps<float>& ops) {
    return std::make_unique<LoraParts>(layout, ops, load, options);
  };
}

}  // namespace

TrainedModel model_to_train(const TrainJob& job) {
  TrainedModel out = job.from.empty() ? from_random_weights(job) : from_model(job);
  if (is_chat_data(job.text)) out.options.random_windows = false;
  take_options(job, out.options);
  if (!job.qat.scheme.empty()) plan_fake_quantization(job, out);
  freeze(job, out);
  if (!out.from_scratch) {
    out.options.origin = origin_of(plain_model(out.model));
    out.start.load = [model = out.model](const ParamSpec& p) { return load_weight(model, p); };
  }
  if (job.lora.asked()) take_lora(job, out);
  if (!job.distill.empty()) take_teacher(job, out);
  return out;
}

void as_stored_before(const TrainedModel& trained, TrainResult& result) {
  if (trained.from_scratch || trained.lora) return;
  for (auto& [name, w] : result.weights) {
    const DType dtype = trained.model.weights->stored_as(name).dtype;
    if (dtype != w.dtype()) w = narrowed(w, dtype, name);
  }
}

Model trained_in_memory(const TrainedModel& trained, const TrainResult& result) {
  if (trained.lora)
    return with_adapter(trained.model, trained_adapter(*trained.lora, result), "the adapter");
  WeightMap weights;
  for (const auto& [name, w] : result.weights) weights.emplace(name, w);
  for (const auto& [name, q] : result.quantized) weights.emplace(name, q);
  return {trained.model.path,
          trained.options.config,
          weights_in_memory(std::move(weights), {}),
          trained.model.companions,
          {}};
}

}  // namespace nibble
