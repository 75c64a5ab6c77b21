#include "nibble/report/train_page.h"

#include <fmt/format.h>

#include "nibble/core/counted.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"

namespace nibble {
namespace {

std::string title_of(const TrainJob& job) {
  const std::string what = job.from.empty() ? job.preset : job.from;
  if (job.qat.scheme.empty()) return "Training of " + what;
  return fmt::format("{} trained for {}", what, job.qat.scheme);
}

// "Held-out loss 3.9012 before, 3.8968 after (float model 3.8944)."
std::string before_and_after(const TrainSummary& t) {
  std::string out = fmt::format("Held-out loss {} nats a token", format_fixed(t.heldout_loss, 4));
  if (t.looks.size() > 1 && t.looks.front().step == 0)
    out += fmt::format(", {} before", format_fixed(double{t.looks.front().loss}, 4));
  if (t.teacher_loss > 0)
    out += fmt::format(", {} of the teacher", format_fixed(t.teacher_loss, 4));
  return out;
}

std::string curve(const TrainSummary& t) {
  CurvePlot plot;
  plot.description = "Training loss at each step";
  plot.x_title = "step";
  plot.y_title = t.distilled ? "KL(teacher || model), nats a token" : "loss, nats a token";
  plot.values = t.losses;
  if (!t.distilled && t.heldout_loss > 0)
    plot.levels.push_back({t.heldout_loss, "held out " + format_fixed(t.heldout_loss, 3), 4});
  return fmt::format(
      "<div class=\"grid\"><figure>{}<figcaption>The band is the range over a few steps, the line "
      "their running "
      "mean.</figcaption></figure></div>\n",
      curve_plot(plot));
}

// One of the two things that looks see, over the steps, beside what it is to be compared with.
std::string looks_plot(const TrainSummary& t, std::string_view title,
                       double (*of)(const HeldoutLook&), double teacher) {
  LinePlot plot;
  plot.description = fmt::format("Held-out {} over the steps", title);
  plot.x_title = "step";
  plot.y_title = std::string(title) + ", nats a token";
  LineSeries here{"trained", 1, {}}, start{"at the start", 2, {}}, above{"teacher", 0, {}};
  for (const HeldoutLook& look : t.looks) {
    const auto x = static_cast<double>(look.step);
    here.points.emplace_back(x, of(look));
    start.points.emplace_back(x, of(t.looks.front()));
    above.points.emplace_back(x, teacher);
  }
  plot.series = {here, start};
  if (teacher > 0) plot.series.push_back(above);
  return "<figure>" + line_plot(plot) + "</figure>\n";
}

std::string looks(const TrainSummary& t) {
  if (t.looks.size() < 2) return "";
  std::string out =
      "<div class=\"grid\">" +
      looks_plot(
          t, "loss", [](const HeldoutLook& l) { return double{l.loss}; }, t.teacher_loss);
  if (!t.distilled) return out + "</div>\n";
  return out +
         looks_plot(
             t, "divergence from the teacher",
             [](const HeldoutLook& l) { return double{l.divergence}; }, 0) +
         "</div>\n";
}

std::string facts(const TrainJob& job, const TrainSummary& t) {
  std::string out =
      fmt::format("<p>{} weights; {} {} of {} {} in {}, {} tokens a second, on {}.</p>\n",
                  format_count(t.parameters), format_count(t.steps), noun(t.steps, "step"),
                  format_count(t.batch), noun(t.batch, "sequence"), format_seconds(t.seconds),
                  format_rate(t.tokens_per_second), escape_html(t.run.machine));
  if (t.bits_per_weight > 0)
    out += fmt::format("<p>Stored in {}: {} bits a weight.</p>\n", escape_html(job.qat.scheme),
                       format_fixed(t.bits_per_weight, 2));
  if (t.stopped_early)
    out +=
        "<p>It stopped early: the held-out loss no longer fell. The weights are those of the "
        "best look.</p>\n";
  if (!t.run.command.empty())
    out += fmt::format("<p><code>{}</code></p>\n", escape_html(t.run.command));
  return out;
}

}  // namespace

std::string train_html(const TrainJob& job, const TrainSummary& t) {
  const std::string title = title_of(job);
  return html_page(
      title,
      fmt::format("<header>\n<p class=\"over\">{} &middot; {}</p>\n<h1>{}</h1>\n</header>\n<main>\n"
                  "{}{}{}</main>\n<footer>Written by nibble {}. This page is one file and asks for "
                  "nothing from a network.</footer>\n",
                  escape_html(title), escape_html(t.run.date), escape_html(before_and_after(t)),
                  html_section("run", "The run", facts(job, t)),
                  html_section("curve", "Training loss", curve(t)),
                  html_section("heldout", "On text held out", looks(t)),
                  escape_html(t.run.version)));
}

}  // namespace nibble
