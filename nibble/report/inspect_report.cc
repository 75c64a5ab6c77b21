#include "nibble/report/inspect_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/report/json_report.h"
#include "nibble/report/numbers.h"

namespace nibble {
namespace {

void write_plan(const MemoryPlan& p, JsonWriter& out) {
  out.key("memory").begin_object().field("weight_bytes", p.weights);
  out.field("weight_bytes_per_token", p.weights_per_token).field("context", p.context);
  out.field("prefill_scratch_bytes", p.scratch).key("kv_bytes_per_token").begin_object();
  for (const auto& [kv, bytes] : p.kv_per_token) out.field(kv, bytes);
  out.end_object().key("kv_bytes_full_context").begin_object();
  for (const auto& [kv, bytes] : p.kv_per_token) out.field(kv, bytes * p.context);
  out.end_object().end_object();
}

std::string plan_lines(const MemoryPlan& p) {
  std::string out =
      fmt::format("\nmemory: weights {}, {} of them read for each token; prefill of {} {}\n",
                  format_bytes(p.weights), format_bytes(p.weights_per_token),
                  counted(p.chunk, "token"), format_bytes(p.scratch));
  for (const auto& [kv, bytes] : p.kv_per_token) {
    out +=
        fmt::format("KV cache in {:4}: {} a token, {} at the full context of {}\n", kv,
                    format_bytes(bytes), format_bytes(bytes * p.context), format_count(p.context));
  }
  return out;
}

// With a column for the words of the file, where it has such.
std::string tensor_lines(const InspectResult& r) {
  const bool typed = std::any_of(r.tensors.begin(), r.tensors.end(),
                                 [](const TensorRow& t) { return !t.type.empty(); });
  const auto line = [&](const std::string& name, const std::string& shape, std::string_view type,
                        std::string_view scheme, std::string_view bytes, std::string_view kernel) {
    return fmt::format("{:32} {:>14}{} {:>16} {:>12}  {}\n", name, shape,
                       typed ? fmt::format(" {:>8}", type) : "", scheme, bytes, kernel);
  };
  std::string out = line("tensor", "shape", "type", "scheme", "bytes", "kernel");
  for (const TensorRow& t : r.tensors)
    out += line(printable(t.name), t.shape.to_string(), t.type, t.scheme,
                fmt::format("{}", t.bytes), t.kernel);
  return out;
}

std::string sum_lines(const InspectResult& r) {
  std::string sums, out;
  for (const auto& [scheme, count] : r.parameters_by_scheme)
    sums += fmt::format("{}{} {}", sums.empty() ? "" : ", ", format_count(count), scheme);
  for (const TensorRow& t : r.tensors) {
    if (t.not_finite > 0)
      out +=
          fmt::format("NOT FINITE: {} of {}\n", counted(t.not_finite, "value"), printable(t.name));
  }
  return fmt::format("\nparameters: {}\n", sums) + out;
}

void write_tensor(const TensorRow& t, JsonWriter& out) {
  const auto dims = t.shape.dims();
  out.begin_object().field("name", t.name);
  out.array("shape", std::vector<int64_t>(dims.begin(), dims.end())).field("scheme", t.scheme);
  if (!t.type.empty()) out.field("type", t.type);
  out.field("bytes", t.bytes).field("not_finite", t.not_finite).field("kernel", t.kernel);
  out.end_object();
}

void write_outliers(const OutlierStats& s, JsonWriter& out) {
  const Moments& m = s.moments;
  out.begin_object()
      .field("tensor", s.tensor)
      .field("count", m.count)
      .field("not_finite", m.not_finite)
      .field("mean", m.mean)
      .field("standard_deviation", m.standard_deviation);
  out.field("minimum", m.minimum)
      .field("maximum", m.maximum)
      .field("absmax", m.absmax)
      .field("kurtosis", m.kurtosis);
  out.field("sigmas", s.k)
      .field("outliers", s.outliers)
      .field("share", s.share)
      .field("worst_channel_ratio", s.worst_channel_ratio);
  out.array("outliers_by_channel", s.by_channel).end_object();
}

}  // namespace

std::string render_terminal(const InspectResult& r) {
  return fmt::format("{}: {}, {} weights, {} bytes on disk, {:.2f} bits a weight\n\n", r.path,
                     r.model_type, r.parameters, r.file_bytes, r.bits_per_weight) +
         tensor_lines(r) + sum_lines(r) + (r.memory ? plan_lines(*r.memory) : "");
}

std::string inspect_json(const InspectResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion);
  out.field("model_type", r.model_type).field("parameters", r.parameters);
  out.key("parameters_by_scheme").begin_object();
  for (const auto& [scheme, count] : r.parameters_by_scheme) out.field(scheme, count);
  out.end_object();
  if (r.memory) write_plan(*r.memory, out);
  out.array("warnings", r.warnings).field("file_bytes", r.file_bytes);
  out.field("bits_per_weight", r.bits_per_weight).key("tensors").begin_array();
  for (const TensorRow& t : r.tensors) write_tensor(t, out);
  return out.end_array().end_object().finish();
}

std::string render_terminal(const OutlierStats& s) {
  const Moments& m = s.moments;
  const auto channels =
      std::count_if(s.by_channel.begin(), s.by_channel.end(), [](int64_t c) { return c > 0; });
  return fmt::format(
      "{:32} deviation {:9.5f}  absmax {:9.4f} ({:5.1f} deviations)  beyond {:g}: {:6} in {} of {} "
      "channels  widest channel {:.1f}x the median{}\n",
      printable(s.tensor), m.standard_deviation, m.absmax,
      m.standard_deviation > 0 ? m.absmax / m.standard_deviation : 0.0, s.k, s.outliers, channels,
      s.by_channel.size(), s.worst_channel_ratio,
      m.not_finite > 0 ? fmt::format("  NOT FINITE: {}", m.not_finite) : "");
}

std::string outliers_json(const OutlierStats& s) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).key("tensors").begin_array();
  write_outliers(s, out);
  return out.end_array().end_object().finish();
}

}  // namespace nibble
