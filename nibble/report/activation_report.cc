#include "nibble/report/activation_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "nibble/core/counted.h"
#include "nibble/core/json.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"

namespace nibble {
namespace {

constexpr size_t kChannelRows = 20;

std::vector<Remedy> all_remedies() {
  std::vector<Remedy> out;
  for (size_t i = 0; i < kRemedies; ++i) out.push_back(static_cast<Remedy>(i));
  return out;
}

double error(const InputStudy& s, Remedy r) { return s.errors[static_cast<size_t>(r)]; }

// Over the inputs that the remedy applies to; without remedy over the same ones. Negative, as of an
// input, where it applies to none.
double mean_error(const ActivationStudy& study, Remedy r, Remedy where) {
  double sum = 0;
  int count = 0;
  for (const InputStudy& s : study.inputs) {
    if (error(s, where) < 0) continue;
    sum += error(s, r);
    ++count;
  }
  return count > 0 ? sum / count : -1;
}

void write_error(std::string_view key, double error, JsonWriter& out) {
  out.key(key);
  error < 0 ? out.null() : out.value(error);
}

std::string place(const InputStudy& s) {
  return s.layer < 0 ? s.stage : fmt::format("{} {}", s.layer, s.stage);
}

std::string share_text(double error) {
  return error < 0 ? "-" : format_percent(error, error < 0.001 ? 4 : error < 0.1 ? 3 : 1);
}

// Where a channel is an outlier: "attention 0-3, mlp 1": only inputs of one width share channels.
struct Home {
  int64_t width = 0, channel = 0;
  double absmax = 0;
  std::map<std::string, std::vector<int>> layers;
};

std::vector<Home> homes(const ActivationStudy& study) {
  std::vector<Home> out;
  for (const InputStudy& s : study.inputs) {
    for (const OutlierChannel& c : s.outliers) {
      const auto same = [&](const Home& h) {
        const bool residual = s.stage == "attention" || s.stage == "mlp" || s.stage == "lm_head";
        const bool other = h.layers.count("attention out") + h.layers.count("mlp out") > 0;
        return h.channel == c.channel && h.width == s.channels &&
               (residual ? !other : h.layers.count(s.stage) > 0);
      };
      auto found = std::find_if(out.begin(), out.end(), same);
      if (found == out.end()) found = out.insert(out.end(), {s.channels, c.channel, 0, {}});
      found->absmax = std::max(found->absmax, c.absmax);
      found->layers[s.stage].push_back(s.layer);
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Home& a, const Home& b) { return a.absmax > b.absmax; });
  return out;
}

// "0-3, 7" of ascending numbers.
std::string ranges(const std::vector<int>& layers) {
  std::string out;
  for (size_t i = 0; i < layers.size();) {
    size_t end = i;
    while (end + 1 < layers.size() && layers[end + 1] == layers[end] + 1) ++end;
    out += fmt::format("{}{}", out.empty() ? "" : ", ", layers[i]);
    if (end > i) out += fmt::format("-{}", layers[end]);
    i = end + 1;
  }
  return out;
}

std::string lives_in(const Home& h) {
  std::vector<std::string> parts;
  for (const auto& [stage, layers] : h.layers)
    parts.push_back(layers[0] < 0 ? stage : fmt::format("{} of layer {}", stage, ranges(layers)));
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string summary(const ActivationStudy& study) {
  int64_t inputs = 0, channels = 0;
  for (const InputStudy& s : study.inputs) {
    inputs += s.beyond_magnitude > 0 ? 1 : 0;
    channels += s.beyond_magnitude;
  }
  return fmt::format("{} of {} {} channels beyond {:g} ({}); {}, {}", inputs,
                     counted(std::ssize(study.inputs), "input"), noun(inputs, "has", "have"),
                     study.magnitude, counted(channels, "channel"), study.source,
                     counted(study.tokens, "token"));
}

void write_input(const InputStudy& s, JsonWriter& out) {
  out.begin_object().field("layer", s.layer).field("stage", s.stage).field("tensor", s.tensor);
  out.field("channels", s.channels).field("rows", s.rows).field("absmax", s.absmax);
  out.field("standard_deviation", s.deviation);
  out.field("channels_beyond_magnitude", s.beyond_magnitude);
  out.field("channels_beyond_deviations", s.beyond_deviations);
  out.key("outlier_channels").begin_array();
  for (const OutlierChannel& c : s.outliers) {
    out.begin_object().field("channel", c.channel).field("absmax", c.absmax);
    out.field("share_of_rows", c.share).end_object();
  }
  out.end_array().key("output_error").begin_object();
  for (const Remedy r : all_remedies()) write_error(text_of(r).name, error(s, r), out);
  out.end_object().field("smoothquant_exponent", s.exponent);
  if (!s.note.empty()) out.field("note", s.note);
  out.end_object();
}

std::string widest_plot(const ActivationStudy& study) {
  LinePlot plot{
      "Largest magnitude of each input by layer", "layer", "largest magnitude", false, {}};
  int colour = 0;
  for (const char* stage : {"attention", "attention out", "mlp", "mlp out"}) {
    LineSeries series{stage, colour++, {}};
    for (const InputStudy& s : study.inputs) {
      if (s.stage == stage) series.points.emplace_back(s.layer, s.absmax);
    }
    plot.series.push_back(std::move(series));
  }
  return fmt::format(
      "<figure><h3>Largest magnitude, layer by layer</h3>{}<figcaption>What attention and MLP "
      "read, in front of them and in front of their output projections. {:g} is where LLM.int8 "
      "draws the line.</figcaption></figure>",
      line_plot(plot), study.magnitude);
}

std::string remedy_plot(const ActivationStudy& study) {
  ScatterPlot plot{"Relative squared error of the outputs of each input after each remedy",
                   "input, in the order in which they run",
                   "error of the outputs",
                   true,
                   {}};
  std::string legend;
  for (size_t r = 1; r < kRemedies; ++r) {
    const auto remedy = static_cast<Remedy>(r);
    const int colour = static_cast<int>(r) - 1;
    legend += fmt::format("<li><span class=\"key c{}\"></span>{}</li>", colour,
                          escape_html(text_of(remedy).name));
    for (size_t i = 0; i < study.inputs.size(); ++i) {
      const InputStudy& s = study.inputs[i];
      if (!(error(s, remedy) > 0)) continue;
      plot.points.push_back(
          {static_cast<double>(i + 1), error(s, remedy), 0, "",
           fmt::format("{}, {}: {}", place(s), text_of(remedy).name, share_text(error(s, remedy))),
           colour});
    }
  }
  return fmt::format(
      "<figure><h3>What each remedy leaves of the error</h3><ul class=\"legend\">{}</ul>{}"
      "<figcaption>Squared error of int8 products over the outputs' own squares, a point an input."
      "</figcaption></figure>",
      legend, scatter_plot(plot));
}

std::string remedy_means(const ActivationStudy& study) {
  HtmlTable table("Each remedy over all inputs that it applies to.");
  table.column("remedy")
      .column("mean error")
      .column("of no remedy's")
      .column("what it is", "", "left");
  for (const Remedy r : all_remedies()) {
    const double none = mean_error(study, Remedy::none, r), own = mean_error(study, r, r);
    table.row({{escape_html(text_of(r).name), ""},
               {share_text(own), ""},
               {none > 0 ? format_significant(own / none, 2) : "n/a", ""},
               {escape_html(text_of(r).summary), "left"}});
  }
  return table.finish();
}

std::string input_table(const ActivationStudy& study) {
  HtmlTable table("Error of the outputs after each remedy, as a share of the outputs' squares.");
  table.column("input of").column("channels").column("largest").column("σ");
  table.column(fmt::format("beyond {:g}", study.magnitude), "channels");
  table.column(fmt::format("beyond {:g} σ", study.sigmas), "channels");
  for (const Remedy r : all_remedies()) table.column(text_of(r).name, text_of(r).summary);
  for (const InputStudy& s : study.inputs) {
    std::vector<HtmlCell> row = {{escape_html(place(s)), ""},
                                 {format_count(s.channels), ""},
                                 {format_significant(s.absmax, 3), ""},
                                 {format_significant(s.deviation, 2), ""},
                                 {format_count(s.beyond_magnitude), ""},
                                 {format_count(s.beyond_deviations), ""}};
    for (const Remedy r : all_remedies()) row.push_back({share_text(error(s, r)), ""});
    table.row(std::move(row));
  }
  return table.finish();
}

std::string channel_table(const ActivationStudy& study) {
  const std::vector<Home> all = homes(study);
  if (all.empty()) return nothing_to_show("No channel goes beyond either limit.");
  HtmlTable table(fmt::format(
      "Channels with values beyond either limit, widest first{}. Attention and "
      "MLP read the same residual stream: a channel of theirs is the same channel.",
      all.size() > kChannelRows ? fmt::format(" ({} of {})", kChannelRows, all.size()) : ""));
  table.column("channel").column("of").column("largest").column("lives in the input of", "",
                                                                "left");
  for (size_t i = 0; i < std::min(all.size(), kChannelRows); ++i)
    table.row({{fmt::format("{}", all[i].channel), ""},
               {format_count(all[i].width), ""},
               {format_significant(all[i].absmax, 3), ""},
               {escape_html(lives_in(all[i])), "left"}});
  return table.finish();
}

}  // namespace

std::string activation_terminal(const ActivationStudy& study) {
  std::string out = summary(study) + "\n\n";
  out +=
      fmt::format("{:20} {:>8} {:>9} {:>8} {:>8}", "input", "channels", "largest",
                  fmt::format("> {:g}", study.magnitude), fmt::format("> {:g} sd", study.sigmas));
  for (const Remedy r : all_remedies()) out += fmt::format(" {:>12}", text_of(r).name);
  out += '\n';
  for (const InputStudy& s : study.inputs) {
    out += fmt::format("{:20} {:8} {:9.2f} {:8} {:8}", place(s), s.channels, s.absmax,
                       s.beyond_magnitude, s.beyond_deviations);
    for (const Remedy r : all_remedies()) out += fmt::format(" {:>12}", share_text(error(s, r)));
    out += '\n';
  }
  out += "\nchannel  largest  lives in the input of\n";
  const std::vector<Home> all = homes(study);
  for (size_t i = 0; i < std::min(all.size(), kChannelRows); ++i)
    out += fmt::format("{:7} {:8.2f}  {}\n", all[i].channel, all[i].absmax, lives_in(all[i]));
  if (all.empty()) out += "none beyond either limit\n";
  out += "\nerror of the outputs, squared, over their own squares; int8 weights and inputs:\n";
  for (const Remedy r : all_remedies())
    out += fmt::format("  {:12} {:>9}  {}\n", text_of(r).name, share_text(mean_error(study, r, r)),
                       text_of(r).summary);
  return out;
}

std::string activation_json(const ActivationStudy& study) {
  JsonWriter out;
  out.begin_object().field("schema_version", 1).field("text", study.source);
  out.field("tokens", study.tokens).field("magnitude", study.magnitude);
  out.field("sigmas", study.sigmas).key("mean_output_error").begin_object();
  for (const Remedy r : all_remedies()) write_error(text_of(r).name, mean_error(study, r, r), out);
  out.end_object().key("inputs").begin_array();
  for (const InputStudy& s : study.inputs) write_input(s, out);
  return out.end_array().end_object().finish();
}

std::string activation_html(const ActivationStudy& study, const std::string& model) {
  const std::string title = "Outliers of activations";
  std::string body =
      fmt::format("<header><h1>{}</h1><p class=\"lede\">{}: {}.</p></header>\n<main>\n",
                  escape_html(title), escape_html(model), escape_html(summary(study)));
  body += html_section("where", "Where they are and what helps",
                       "<div class=\"grid\"><div>" + widest_plot(study) + "</div><div>" +
                           remedy_plot(study) + "</div></div>");
  body += html_section("remedies", "What each remedy leaves", remedy_means(study));
  body += html_section("channels", "Channels", channel_table(study));
  body += html_section("inputs", "Every input", input_table(study)) + "</main>\n";
  return html_page(title, body);
}

}  // namespace nibble
