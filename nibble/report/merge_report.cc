#include "nibble/report/merge_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "nibble/core/counted.h"
#include "nibble/report/json_report.h"
#include "nibble/report/model_fields.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

std::string stored_words(const MergedOutput& w) {
  std::vector<std::string> parts;
  for (const auto& [type, count] : w.stored) parts.push_back(fmt::format("{} in {}", count, type));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

std::string render_terminal(const MergeJob& job, const MergeResult& r, int width) {
  const MergedOutput& w = r.written;
  std::string out = fmt::format(
      "{}: {} changed by {}, {} quantized; matrices: {}; {} bytes\n", w.path,
      counted(w.changed, "parameter"), counted(std::ssize(job.options.adapters), "adapter"),
      counted(w.quantized, "matrix", "matrices"), stored_words(w), w.file_bytes);
  if (r.models.size() < 2) return out;
  out += "\n" + model_columns(r.models,
                              {{"name"},
                               {"bits_per_weight", 4},
                               {"file_bytes", 5},
                               {"loss", 0},
                               {"loss_difference", 1},
                               {"loss_difference_standard_error", 2},
                               {"kl_mean", 0},
                               {"top1_agreement", 3}},
                              width);
  return out + fmt::format("\nmerged: {}\n", verdict(r.models[1]));
}

std::string merge_json(const MergeJob& /*job*/, const MergeResult& r) {
  const MergedOutput& w = r.written;
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("out", w.path);
  out.field("file_bytes", w.file_bytes).field("input_file_bytes", w.input_file_bytes);
  out.field("parameters_changed", w.changed).field("matrices_quantized", w.quantized);
  out.key("matrices_stored").begin_object();
  for (const auto& [type, count] : w.stored) out.field(type, count);
  out.end_object();
  if (!r.models.empty()) {
    out.field("measured_on", r.measured_on).key("models").begin_array();
    for (const ModelRow& row : beside_the_first(r.models)) {
      out.begin_object();
      write_fields(model_fields(),
                   {"name", "scheme", "file_bytes", "memory_bytes", "bits_per_weight", "loss",
                    "standard_error", "perplexity", "tokens", "loss_difference",
                    "loss_difference_standard_error", "kl_mean", "kl_standard_error", "kl_p99",
                    "kl_max", "top1_agreement", "top1_standard_error"},
                   row, out);
      out.end_object();
    }
    out.end_array();
  }
  return out.array("warnings", r.warnings).end_object().finish();
}

}  // namespace nibble
