#include "nibble/jobs/train_output.h"

#include <fmt/format.h>

#include "nibble/compress/provenance.h"
#include "nibble/core/error.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

// No folder has types of fewer levels than their codes have: they are integers of as many bits.
QuantScheme stored_scheme(QuantScheme scheme) {
  if (number(scheme).kind != NumberKind::levels) return scheme;
  for (const NamedNumber& n : numbers())
    if (n.traits.kind == NumberKind::integers && n.traits.bits == scheme.bits())
      scheme.type = n.type;
  return scheme;
}

// One parameter as it was trained.
Weight trained_weight(const TrainResult& result, const std::string& name) {
  const auto found = result.quantized.find(name);
  if (found == result.quantized.end()) return result.weights.at(name);
  QuantizedTensor out = found->second;
  out.scheme = stored_scheme(out.scheme);
  return out;
}

std::vector<WritableParameter> writable(const TrainedModel& trained, const TrainResult& result) {
  std::vector<WritableParameter> out;
  for (ParamSpec& spec : parameter_table(trained.options.config)) {
    WritableParameter p{spec, std::nullopt, DType::f32,
                        [&result, name = spec.name] { return trained_weight(result, name); }};
    if (const auto w = result.weights.find(spec.name); w != result.weights.end())
      p.dtype = w->second.dtype();
    if (const auto q = result.quantized.find(spec.name); q != result.quantized.end()) {
      p.scheme = stored_scheme(q->second.scheme);
      p.dtype = trained.options.quantization.scale_dtype;
    }
    out.push_back(std::move(p));
  }
  return out;
}

}  // namespace

TrainOutput::TrainOutput(const TrainJob& job, const TrainedModel& trained)
    : job_(job), trained_(trained) {
  const OutputTarget target = output_targets(job.out, {}).front();
  if (trained.lora || trained.characters) {
    if (target.format.in_gguf)
      throw invalid_argument(fmt::format("{} is made as a folder: choose another name",
                                         trained.lora ? "an adapter" : "this model"));
    folder_.emplace(job.out, job.force);
    return;
  }
  std::vector<WritableParameter> planned;
  const FakeQuantization& fake = trained.options.quantization;
  for (ParamSpec& spec : parameter_table(trained.options.config)) {
    WritableParameter p{spec, std::nullopt, DType::f32, nullptr};
    if (const auto found = fake.schemes.find(spec.name); found != fake.schemes.end()) {
      p.scheme = stored_scheme(storable_scheme(found->second, spec.shape[1]));
      p.dtype = fake.scale_dtype;
      if (!target.format.in_gguf) require_folder_scheme(*p.scheme);
    }
    planned.push_back(std::move(p));
  }
  require_format(trained.model, planned, target.format);
  output_.emplace(target, job.force);
}

std::string TrainOutput::about(const TrainResult& result, int64_t bytes) const {
  JsonWriter out;
  begin_provenance(job_.command, out);
  out.field("from", job_.from).field("steps", static_cast<int64_t>(result.losses.size()));
  out.field("tokens", result.tokens).field("seed", job_.seed);
  if (!job_.qat.scheme.empty()) out.field("qat", job_.qat.scheme);
  if (!job_.distill.empty()) out.field("distill", job_.distill);
  return out.field("file_bytes", bytes).end_object().finish();
}

void TrainOutput::write(const TrainResult& result, std::vector<std::string>& warnings,
                        const Exec& exec) {
  if (trained_.lora) {
    write_peft_adapter(folder_->path(), trained_adapter(*trained_.lora, result));
    return folder_->commit();
  }
  auto parameters = writable(trained_, result);
  for (const auto& [name, q] : result.quantized) {
    if (stored_scheme(q.scheme) == q.scheme) continue;
    warnings.push_back(fmt::format("{} is stored as {}, whose other codes are not used",
                                   to_string(q.scheme), to_string(stored_scheme(q.scheme))));
    break;
  }
  if (trained_.characters) {
    write_model(folder_->path(), trained_.options.config, parameters, &*trained_.characters);
    return folder_->commit();
  }
  ExportCheck check;
  for (WritableParameter& p : parameters) {
    p.make = [&check, &exec, make = p.make, name = p.spec.name] {
      Weight w = make();
      check.note(name, w, exec.threads);
      return w;
    };
  }
  output_->write(
      {trained_.model, parameters, check}, [&](int64_t bytes) { return about(result, bytes); },
      warnings, exec);
}

}  // namespace nibble
