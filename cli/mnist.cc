#include "cli/mnist.h"

#include "nibble/jobs/classifiers.h"
#include "nibble/report/classifier_report.h"
#include "nibble/report/json_report.h"

namespace nibble::cli {

void eval_mlp(const Common& common, const ModelFolder& model, const std::string& base,
              const std::string& data) {
  std::vector<ClassifierMeasurement> rows;
  {
    const Exec exec = make_exec(common);
    rows = eval_classifier(model, base, data, exec);
  }
  common.json ? print_raw(models_json(rows)) : print_out(render_table(rows));
}

}  // namespace nibble::cli
