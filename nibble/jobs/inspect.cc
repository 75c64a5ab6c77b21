#include "nibble/jobs/inspect.h"

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/eval/estimate.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/measure.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"

namespace nibble {
namespace {

using Kernels = std::map<std::string, std::string>;  // by the weight's name

template <class Loaded>
Kernels kernels_of(const Loaded& model) {
  Kernels out;
  model.for_each_linear(
      [&](const LinearGroup& g, size_t i) { out[std::string(g.name(i))] = g.kernel_name(i); });
  return out;
}

// Quantized weights that are not finite are refused when they are loaded.
int64_t count_not_finite(const Weight& w) {
  if (w.is_quantized() || plainly_finite(w.base().plain())) return 0;
  return moments(w.floats().data<float>()).not_finite;
}

void add_tensors(const Model& model, Kernels kernels, InspectResult& out) {
  for (const ParamSpec& p : parameter_table(model.config)) {
    const Weight w = load_weight(model, p);
    out.tensors.push_back({p.name, p.shape, w.stored_as(),
                           std::string(model.weights->stored_as(p.name).type), kernels[p.name],
                           static_cast<int64_t>(w.bytes()), count_not_finite(w)});
    out.parameters += p.shape.elements();
    out.parameters_by_scheme[w.stored_as()] += p.shape.elements();
  }
}

MemoryPlan plan_of(const Decoder& decoder, const Exec& exec) {
  const DecoderConfig& c = decoder.config();
  MemoryPlan out;
  out.weights = static_cast<int64_t>(decoder.memory_bytes());
  out.weights_per_token = static_cast<int64_t>(decoder.weight_bytes());
  out.context = c.context;
  out.chunk = std::min(GenerateOptions{}.prefill_chunk, c.context);
  out.scratch = decoder.pass_bytes(out.chunk, exec);
  for (const DType kv : {DType::f32, DType::f16, DType::i8})
    out.kv_per_token.emplace_back(kv_name(kv), kv_bytes_per_token(c, kv));
  return out;
}

Model open_and_tell(const std::string& name, const NoticeHook& tell) {
  Model model = open_model(resolve_model(name));
  std::vector<std::string> told;
  note_warnings(warnings_of(model), tell, told);
  return model;
}

}  // namespace

InspectResult inspect(const std::string& name, const Exec& exec, const NoticeHook& tell,
                      const Adapters& adapters) {
  const Model model = with_adapters(open_and_tell(name, tell), parse_adapters(adapters));
  InspectResult out;
  Kernels kernels;
  if (std::holds_alternative<DecoderConfig>(model.config)) {
    const Decoder decoder = load_decoder(model, {.threads = exec.threads});
    kernels = kernels_of(decoder);
    out.memory = plan_of(decoder, exec);
  } else {
    kernels = kernels_of(load_mlp(model, {.threads = exec.threads}));
  }
  add_tensors(model, std::move(kernels), out);
  out.path = model.path;
  out.model_type = model_type(model.config);
  out.file_bytes = model.weights->file_bytes();
  out.bits_per_weight = stored_bits_per_weight(model);
  out.warnings = model.warnings;
  return out;
}

OutlierStats inspect_tensor(const std::string& name, const std::string& tensor, double sigmas,
                            const NoticeHook& tell, const Adapters& adapters) {
  const Model model = with_adapters(open_and_tell(name, tell), parse_adapters(adapters));
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (p.name != tensor) continue;
    const Weight w = load_weight(model, p);
    const Tensor values = w.floats();
    const int64_t n = p.is_matrix() ? p.shape[0] : 1;
    return find_outliers(p.name, values.data<float>(), n, values.elements() / n, sigmas);
  }
  throw not_found("the model has no tensor of this name (`nibble inspect MODEL` lists them)")
      .at("tensor " + in_quotes(tensor))
      .in_file(name);
}

ActivationStudy inspect_activations(const ActivationJob& job, const Exec& exec,
                                    const NoticeHook& tell) {
  const Model model =
      merged_model(open_and_tell(job.model, tell), parse_adapters(job.adapters), exec.threads);
  if (job.text.text.empty() && tell) tell({Notice::Kind::own_text, {std::string(kGeneratedText)}});
  return study_activations(model, calibration_text(model, job.text, exec), job.magnitude,
                           job.sigmas, exec);
}

}  // namespace nibble
