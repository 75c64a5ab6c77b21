#include "nibble/jobs/classifiers.h"

#include "nibble/eval/measure.h"
#include "nibble/jobs/mnist.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/model/hf_cache.h"

namespace nibble {

std::vector<ClassifierMeasurement> compare_classifiers(const CompareJob& job, const Model& base,
                                                       const Exec& exec) {
  const ClassifierData data = load_mnist(job.data, base.mlp_config()).test;
  std::vector<ClassifierMeasurement> out;
  const auto add = [&](const std::string& name, const Model& model) {
    out.push_back(measure_classifier(name, model, base, data, job.measure.runs, exec));
  };
  add(job.models.front(), base);
  for (size_t i = 1; i < job.models.size(); ++i)
    add(job.models[i], open_model(resolve_model(job.models[i])));
  for (const std::string& s : job.schemes) {
    QuantizeOptions q;
    q.scheme = parse_scheme(s);
    add(to_string(q.scheme), quantize_in_memory(base, q, exec));
  }
  return out;
}

std::vector<ClassifierMeasurement> eval_classifier(const Model& model, const std::string& base,
                                                   const std::string& data, const Exec& exec) {
  const ClassifierData test = load_mnist(data, model.mlp_config()).test;
  const Model baseline = open_model(base.empty() ? model.path : resolve_model(base));
  std::vector<ClassifierMeasurement> out;
  if (!base.empty())
    out.push_back(measure_classifier(base, baseline, baseline, test, kEnoughRuns, exec));
  out.push_back(measure_classifier(model.path, model, baseline, test, kEnoughRuns, exec));
  return out;
}

}  // namespace nibble
