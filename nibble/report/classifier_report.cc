#include "nibble/report/classifier_report.h"

#include "nibble/report/fields.h"
#include "nibble/report/json_report.h"

namespace nibble {
namespace {

using ClassifierRow = Beside<ClassifierMeasurement>;

template <auto Member>
FieldValue classifier_value(const ClassifierRow& r) {
  return r.m.*Member;
}
FieldValue accuracy_value(const ClassifierRow& r) {
  return r.m.accuracy >= 0 ? FieldValue(r.m.accuracy) : FieldValue();
}
FieldValue batch_speedup(const ClassifierRow& r) { return speedup(r.m.latency, r.m.base_latency); }
bool beside_another(const ClassifierRow& r) { return !r.is_base(); }

using C = ClassifierMeasurement;
constexpr Field<ClassifierRow> kClassifierFields[] = {
    {"name", classifier_value<&C::name>, "model", show_text},
    {"scheme", classifier_value<&C::scheme>},
    {"parameters", classifier_value<&C::parameters>, "weights", show_count},
    {"file_bytes", classifier_value<&C::file_bytes>, "file", show_bytes},
    {"memory_bytes", classifier_value<&C::memory_bytes>, "memory", show_bytes},
    {"compression_ratio", classifier_value<&C::compression_ratio>, "smaller", show_times},
    {"accuracy", accuracy_value, "accuracy", show_digits<format_percent, 2>},
    {"prediction_agreement", classifier_value<&C::prediction_agreement>, "same",
     show_digits<format_percent, 2>, beside_another},
    {"output_mse", classifier_value<&C::output_mse>, "output MSE",
     show_digits<format_significant, 3>, beside_another},
    {"latency", classifier_value<&C::latency>, "one batch", show_latency},
    {"speedup", batch_speedup, "speed", show_speedup},
    {"waited_share", classifier_value<&C::waited_share>}};

}  // namespace

std::string render_table(const std::vector<ClassifierMeasurement>& models, int width) {
  return fields_table<ClassifierRow>(kClassifierFields,
                                     {{"name"},
                                      {"parameters", 5},
                                      {"file_bytes", 0},
                                      {"compression_ratio", 1},
                                      {"memory_bytes", 4},
                                      {"accuracy", 0},
                                      {"prediction_agreement", 1},
                                      {"output_mse", 2},
                                      {"latency", 2},
                                      {"speedup", 1}},
                                     beside_the_first(models), width);
}

std::string classifiers_json(const std::vector<ClassifierMeasurement>& models) {
  JsonWriter json;
  json.begin_object().field("schema_version", kReportSchemaVersion).key("models").begin_array();
  for (const ClassifierRow& row : beside_the_first(models)) {
    json.begin_object();
    write_fields<ClassifierRow>(kClassifierFields, row, json);
    json.end_object();
  }
  return json.end_array().end_object().finish();
}

}  // namespace nibble
