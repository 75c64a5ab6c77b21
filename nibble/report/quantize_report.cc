#include "nibble/report/quantize_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/counted.h"
#include "nibble/core/json.h"
#include "nibble/report/json_report.h"
#include "nibble/report/numbers.h"

namespace nibble {
namespace {

int64_t fallbacks(const QuantizeResult& r) {
  return std::count_if(r.layers.begin(), r.layers.end(),
                       [](const LayerReport& l) { return l.fell_back; });
}

// The calibration error of all matrices together, as a share of rtn's.
double error_ratio(const QuantizeResult& r) {
  double own = 0, rtn = 0;
  for (const LayerReport& l : r.layers) {
    if (l.error < 0) continue;
    own += l.error;
    rtn += l.rtn_error;
  }
  return rtn > 0 ? own / rtn : 1;
}

std::string calibration_line(const QuantizeResult& r) {
  if (r.layers.empty()) return "";
  return fmt::format("calibrated on {}: error {:.2f} of rtn's there, {} of {} fell back\n",
                     r.calibration, error_ratio(r), fallbacks(r),
                     counted(std::ssize(r.layers), "matrix", "matrices"));
}

// ", 83.9% of all parameters"; nothing where floats are stored.
std::string share_quantized(const QuantizeResult& r) {
  if (r.parameters_quantized == 0) return "";
  return fmt::format(", {} of all parameters",
                     format_percent(static_cast<double>(r.parameters_quantized) /
                                    static_cast<double>(r.parameters)));
}

// What calibration showed each expert.
std::string experts_line(const QuantizeResult& r) {
  std::vector<int64_t> tokens;
  int64_t few = 0;
  for (const LayerReport& l : r.layers) {
    if (l.expert < 0 || l.tokens < 0) continue;
    tokens.push_back(l.tokens);
    few += l.mixed > 0 ? 1 : 0;
  }
  if (tokens.empty()) return "";
  std::sort(tokens.begin(), tokens.end());
  return fmt::format(
      "experts saw {} to {} tokens each, {} in the middle; {} of their {} saw too few\n",
      tokens.front(), tokens.back(), tokens[tokens.size() / 2], few,
      counted(std::ssize(tokens), "matrix", "matrices"));
}

// "35 of 35 matrices in int8", "34 of 35 matrices quantized (1 f32, 30 int4:g32, 4 int8)".
std::string matrices_of(const QuantizeResult& r) {
  const int64_t all = r.quantized + r.kept;
  if (r.stored.size() == 1)
    return fmt::format("{} of {} in {}", all, counted(all, "matrix", "matrices"),
                       r.stored.begin()->first);
  std::vector<std::string> parts;
  for (const auto& [type, count] : r.stored) parts.push_back(fmt::format("{} {}", count, type));
  return fmt::format("{} of {} quantized ({})", r.quantized, counted(all, "matrix", "matrices"),
                     fmt::join(parts, ", "));
}

std::string verified_line(const QuantizeResult& r) {
  if (!r.verified) return "";
  const Verified& v = *r.verified;
  return fmt::format(
      "verified: KL {} from the input's logits, the same first choice for {} of {} "
      "that it wrote\n",
      format_significant(v.kl_mean), format_percent(v.top1_agreement), counted(v.tokens, "token"));
}

// What else was written of the same.
std::string others_lines(const QuantizeResult& r) {
  std::string out;
  for (size_t i = 1; i < r.written.size(); ++i)
    out += fmt::format("{}: the same, {} bytes\n", r.written[i].path, r.written[i].file_bytes);
  return out;
}

double compression_ratio(const QuantizeResult& r) {
  return r.file_bytes > 0
             ? static_cast<double>(r.input_file_bytes) / static_cast<double>(r.file_bytes)
             : 0;
}

}  // namespace

std::string render_terminal(const QuantizeJob& /*job*/, const QuantizeResult& r) {
  return fmt::format(
             "{}: {}{}, {:.2f} bits a weight\n"
             "{} bytes instead of {}: {:.2f}x smaller\n",
             r.written.front().path, matrices_of(r), share_quantized(r), r.bits_per_weight,
             r.file_bytes, r.input_file_bytes, compression_ratio(r)) +
         others_lines(r) + calibration_line(r) + experts_line(r) + verified_line(r);
}

std::string quantize_json(const QuantizeJob& job, const QuantizeResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion);
  out.field("out", r.written.front().path).key("written").begin_array();
  for (const Written& w : r.written)
    out.begin_object()
        .field("path", w.path)
        .field("format", w.format)
        .field("file_bytes", w.file_bytes)
        .end_object();
  out.end_array();
  out.field("scheme", to_string(job.options.scheme)).field("method", job.options.method);
  out.field("file_bytes", r.file_bytes).field("input_file_bytes", r.input_file_bytes);
  out.field("compression_ratio", compression_ratio(r)).field("bits_per_weight", r.bits_per_weight);
  out.field("matrices_quantized", r.quantized).field("matrices_kept", r.kept);
  out.field("parameters", r.parameters).field("parameters_quantized", r.parameters_quantized);
  out.key("matrices_by_type").begin_object();
  for (const auto& [type, count] : r.stored) out.field(type, count);
  out.end_object();
  if (!r.layers.empty()) {
    out.field("calibration", r.calibration).field("error_ratio", error_ratio(r));
    out.field("fallbacks", fallbacks(r)).field("resumed_layers", r.resumed_layers);
  }
  if (r.verified) {
    out.key("verified").begin_object().field("tokens", r.verified->tokens);
    out.field("kl_mean", r.verified->kl_mean).field("top1_agreement", r.verified->top1_agreement);
    out.end_object();
  }
  return out.array("warnings", r.warnings).end_object().finish();
}

std::string render_terminal(const QuantizePlan& p) {
  return fmt::format(
      "{:.2f} bits a weight, matrices of {} bytes\n"
      "about {} MiB of memory ({} with `max_memory`, activations in a file), about {:.0f} s{}\n",
      p.bits_per_weight, p.estimate.file_bytes, p.memory_bytes() >> 20,
      p.estimate.spilled_bytes >> 20, p.estimate.seconds,
      p.writes_text ? ", and the time to write the calibration text" : "");
}

std::string plan_json(const QuantizePlan& p) {
  const QuantizeEstimate& e = p.estimate;
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion);
  out.field("bits_per_weight", p.bits_per_weight).field("matrix_bytes", e.file_bytes);
  out.field("calibration_tokens", e.tokens).field("memory_bytes", p.memory_bytes());
  out.field("spilled_memory_bytes", e.spilled_bytes).field("seconds", e.seconds);
  return out.array("warnings", p.warnings).end_object().finish();
}

}  // namespace nibble
