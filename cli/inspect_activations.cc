#include "cli/inspect_activations.h"

#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/report/activation_report.h"

namespace nibble::cli {

void inspect_activations(const Common& common, const ModelFolder& model,
                         const ActivationOptions& o) {
  std::vector<std::string> inputs = model_inputs(model.path);
  inputs.push_back(o.text.text);
  refuse_inputs_as_outputs({"", o.report}, inputs);
  const auto report = open_report(o.report, o.force);
  ActivationStudy study;
  {
    const Exec exec = make_exec(common);
    if (o.text.text.empty())
      say(common, "nibble: reading text that the model generates (--text FILE for your own)");
    const CalibrationText text = calibration_text(model, o.text, exec);
    study = study_activations(model, text, o.magnitude, o.sigmas, exec);
  }
  if (report) {
    report->write(activation_html(study, model.path));
    report->commit();
  }
  common.json ? print_raw(activation_json(study)) : print_out(activation_terminal(study));
}

}  // namespace nibble::cli
