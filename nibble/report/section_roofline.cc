// How close a comparison's prefill and decode came to what the machine can read and multiply.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"
#include "nibble/report/sections.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

constexpr const char* kTooLittleMemory =
    "<p>How fast this machine reads its memory could not be measured: there was too little of it "
    "left for more than the caches hold.</p>\n";

// What one model reached in one kind of work.
struct Reached {
  const Measurement& model;
  const char* work;
  double operations_per_byte, operations_per_second;
  /// The share of what the machine allows at so many operations a byte.
  double share;
};

double allowed(const Measurement& m, const Roof& roof, double operations_per_byte) {
  const bool integer = m.scheme.find(":a8") != std::string::npos;
  const double peak = integer ? roof.integer_ops_per_second : roof.floating_ops_per_second;
  return std::min(peak, operations_per_byte * roof.bytes_per_second);
}

std::vector<Reached> reached_by(const Models& models, const Roof& roof) {
  std::vector<Reached> out;
  const auto add = [&](const Measurement& m, const char* work, int64_t multiplications,
                       double times_per_second) {
    const double operations = 2.0 * static_cast<double>(multiplications);
    if (!(operations > 0) || m.weight_bytes <= 0 || !(times_per_second > 0)) return;
    const double intensity = operations / static_cast<double>(m.weight_bytes);
    const double rate = operations * times_per_second;
    out.push_back({m, work, intensity, rate, rate / allowed(m, roof, intensity)});
  };
  for (const Measurement& m : models) {
    const Throughput& t = m.throughput;
    if (t.prefill_tokens <= 0) continue;
    add(m, "prefill", t.prefill_multiplications,
        t.prefill_tokens_per_second / static_cast<double>(t.prefill_tokens));
    add(m, "decode", t.decode_multiplications, t.decode_tokens_per_second);
  }
  return out;
}

std::string words(const std::vector<Reached>& all) {
  HtmlTable table("Share of the limit that each model reached");
  table.column("model")
      .column("work")
      .column("G operations a second", "a multiplication and an addition are two")
      .column("of the limit", "what the roof allows at as many operations a byte");
  for (const Reached& r : all) {
    table.row({{model_name(r.model), ""},
               {r.work, ""},
               {format_significant(r.operations_per_second * 1e-9, 3), "number"},
               {format_percent(r.share, 0), "number"}});
  }
  return table.finish();
}

}  // namespace

std::string roofline(const Models& models, const Roof& roof) {
  const std::vector<Reached> all = reached_by(models, roof);
  if (all.empty()) return "";
  if (!(roof.bytes_per_second > 0)) return roof.floating_ops_per_second > 0 ? kTooLittleMemory : "";
  RooflinePlot plot;
  plot.description = "Operations a second against operations a byte, under the machine's limits";
  plot.bytes_per_second = roof.bytes_per_second * 1e-9;
  const auto ceiling = [&](double rate, const char* type) {
    if (rate > 0)
      plot.ceilings.push_back(
          {rate * 1e-9, fmt::format("{} {} G/s", type, format_count(std::llround(rate * 1e-9))),
           0});
  };
  ceiling(roof.integer_ops_per_second, "int8");
  ceiling(roof.floating_ops_per_second, "f32");
  for (const Reached& r : all) {
    plot.points.push_back(
        {r.operations_per_byte, r.operations_per_second * 1e-9, 0,
         fmt::format("{} {}", r.model.name, r.work),
         fmt::format("{}, {}: {} of the limit", r.model.name, r.work, format_percent(r.share, 0)),
         colour_of(r.model)});
  }
  return fmt::format(
      "<div class=\"grid\"><figure><h3>Roofline</h3>{}<figcaption>The slope is what the machine "
      "reads from memory, {} GB a second; the level lines are what its registers multiply. Both "
      "were measured beside the models. One token at a time reads every weight for two operations; "
      "a prompt uses each weight for every token. Weights that stay in a cache can lie above the "
      "slope.</figcaption></figure>\n<div class=\"text\">{}</div></div>\n",
      roofline_plot(plot), format_significant(roof.bytes_per_second * 1e-9, 3), words(all));
}

}  // namespace nibble
