#include "nibble/report/auto_report.h"

#include <fmt/format.h>

#include "nibble/core/json.h"
#include "nibble/report/html.h"
#include "nibble/report/plots.h"

namespace nibble {
namespace {

constexpr int kFrontierColour = 1, kChoiceColour = 3;

const SchemeCost& chosen(const AutoResult& r, size_t matrix) {
  return r.matrices[matrix].costs[r.choice.chosen[matrix]];
}

std::string auto_summary(const AutoResult& r) {
  return fmt::format(
      "{}: {:.3f} bits a weight, {} bytes; KL {:.4g} ± {:.2g} on text that nothing was chosen by "
      "(predicted {:.4g}; no choice of these bits is predicted below {:.4g})",
      r.options.method, r.written.bits_per_weight, r.written.file_bytes, r.measured_kl,
      r.measured_kl_standard_error, r.choice.predicted_kl, r.choice.lower_bound);
}

}  // namespace

std::string auto_terminal(const AutoResult& r) {
  std::string out = auto_summary(r) + "\n\n";
  for (size_t i = 0; i < r.matrices.size(); ++i)
    out += fmt::format("{:44} {:14} KL alone {:.3g}\n", r.matrices[i].name,
                       to_string(chosen(r, i).scheme), chosen(r, i).kl);
  out += "\nbits a weight   predicted KL\n";
  for (const AutoChoice& c : r.frontier)
    out += fmt::format("{:13.2f}   {:12.4g}\n", c.bits_per_weight, c.predicted_kl);
  return out;
}

std::string auto_json(const AutoResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", 1);
  out.field("bits_per_weight", r.written.bits_per_weight).field("file_bytes", r.written.file_bytes);
  out.field("method", r.options.method).field("damping", r.options.tuning.damping);
  out.field("predicted_kl", r.choice.predicted_kl).field("lower_bound", r.choice.lower_bound);
  out.field("measured_kl", r.measured_kl);
  out.field("measured_kl_standard_error", r.measured_kl_standard_error);
  out.key("frontier").begin_array();
  for (const AutoChoice& c : r.frontier) {
    out.begin_object().field("bits_per_weight", c.bits_per_weight);
    out.field("predicted_kl", c.predicted_kl).field("lower_bound", c.lower_bound).end_object();
  }
  out.end_array().key("matrices").begin_array();
  for (size_t i = 0; i < r.matrices.size(); ++i) {
    out.begin_object().field("name", r.matrices[i].name);
    out.field("scheme", to_string(chosen(r, i).scheme)).key("costs").begin_array();
    for (const SchemeCost& c : r.matrices[i].costs) {
      out.begin_object().field("scheme", to_string(c.scheme)).field("bytes", c.bytes);
      out.field("kl", c.kl).field("error", c.error).field("measured", c.measured).end_object();
    }
    out.end_array().end_object();
  }
  out.end_array().end_object();
  return out.finish();
}

std::string auto_html(const AutoResult& r, const std::string& model) {
  ScatterPlot plot{
      "Predicted KL of the best assignment at each size", "bits a weight", "KL, nats", true, {}};
  for (const AutoChoice& c : r.frontier)
    plot.points.push_back({c.bits_per_weight, c.predicted_kl, 0, "",
                           fmt::format("{:.2f} bits: {:.3g}", c.bits_per_weight, c.predicted_kl),
                           kFrontierColour});
  plot.points.push_back({r.written.bits_per_weight, r.measured_kl, r.measured_kl_standard_error,
                         "made and measured", "the model that was written", kChoiceColour});
  HtmlTable table("The scheme of every matrix, and the KL that it alone would cost.");
  table.column("matrix").column("scheme", "", "left").column("KL alone");
  for (size_t i = 0; i < r.matrices.size(); ++i)
    table.row({{escape_name(r.matrices[i].name), ""},
               {to_string(chosen(r, i).scheme), "left"},
               {fmt::format("{:.3g}", chosen(r, i).kl), ""}});
  const std::string title = "Bits chosen for each matrix";
  return html_page(title,
                   fmt::format("<header><h1>{}</h1><p class=\"lede\">{}: {}</p></header>\n<main>"
                               "<div class=\"grid\"><figure>{}</figure>{}</div></main>\n",
                               escape_html(title), escape_html(model), escape_html(auto_summary(r)),
                               scatter_plot(plot), table.finish()));
}

}  // namespace nibble
