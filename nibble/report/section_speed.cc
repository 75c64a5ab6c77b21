// Tokens a second of each model, both ways of multiplying, and what to make of it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

// Weights below this stay in the caches of one core of today's processors; above the second, in
// none.
constexpr int64_t kFitsInCoreCache = int64_t{1} << 20;
constexpr int64_t kFitsInNoCache = int64_t{64} << 20;

std::string why_not_faster(const Measurement& base) {
  const std::string size = format_bytes(base.weight_bytes);
  if (base.weight_bytes > 0 && base.weight_bytes <= kFitsInCoreCache) {
    return fmt::format(
        "<p>Why: small weights pay where the processor waits for memory. All the weights that {0} "
        "reads for a token are {1}, which stay in the caches next to the core, so there is nothing "
        "to wait for. What 8-bit arithmetic adds is work: every input must be scaled and rounded "
        "to "
        "integers before each product and the sums turned back into floats after it, for rows so "
        "short that this costs more than the products save.</p>\n"
        "<p>The gain comes with size: once a model's weights no longer fit in the caches, reading "
        "a quarter of the bytes is what counts. <code>nibble bench --shape gpt2-124m</code> shows "
        "it "
        "on this machine.</p>\n",
        escape_html(base.name), size);
  }
  if (base.weight_bytes > kFitsInNoCache) {
    return fmt::format(
        "<p>That is unexpected at this size: {} of weights a token fit in no cache, and fewer "
        "bytes "
        "should have been quicker to read. Look at the kernel column for a reference kernel, and "
        "at whether something else kept this machine busy.</p>\n",
        size);
  }
  return fmt::format(
      "<p>Why: the weights read for a token, {}, largely fit in this processor's caches, so "
      "reading "
      "fewer bytes gains little, and converting inputs and sums costs time.</p>\n",
      size);
}

// "12.3 k tokens a second against 10.1 k".
std::string rates_of(const Measurement& m) {
  return fmt::format("{} tokens a second against {}", format_rate(m.tokens_per_second),
                     format_rate(base_tokens_per_second(m)));
}

std::string verdict_words(const Measurement& m, const Measurement& base) {
  const std::string name = escape_html(m.name), base_name = escape_html(base.name);
  const Speedup s = speedup_of(m);
  const std::string words = describe_speed(s, "×"), rates = rates_of(m);
  switch (judge_speed(s)) {
    case Speed::unknown:
      return fmt::format("<p>{} was {}.</p>\n", name, words);
    case Speed::slower:
      return fmt::format(
                 "<p><strong>{} is not faster than {} here, it is slower</strong>: {}, {}.</p>\n",
                 name, base_name, words, rates) +
             why_not_faster(base);
    case Speed::same:
      return fmt::format("<p><strong>{} is not faster than {} here</strong>: {}, {}.</p>\n", name,
                         base_name, words, rates) +
             why_not_faster(base);
    case Speed::unclear:
      return fmt::format(
          "<p><strong>No difference in speed between {} and {} could be measured</strong>: {} is "
          "{}. More rounds (<code>--runs</code>) on a machine with nothing else to do would tell "
          "more.</p>\n",
          name, base_name, name, words);
    case Speed::faster:
      return fmt::format("<p><strong>{} is faster than {} here</strong>: {}, {}.</p>\n", name,
                         base_name, words, rates);
  }
  return "";
}

std::string on_the_fly_words(const Measurement& m) {
  const std::string words = describe_speed(speedup(m.latency, m.dequantized_latency), "×");
  if (words.empty()) return "";
  return fmt::format(
      "<p class=\"soft\">The tutorials&rsquo; way, turning each weight back into a float when it "
      "is used, is shown pale. Against it the integer kernel of {} is {}.</p>\n",
      escape_html(m.name), words);
}

// Its whiskers are the quartiles.
Bar bar_of(double per_second, const Latency& l, const std::string& name, int colour, bool pale) {
  const double amount = per_second * l.median();
  const std::string text = format_rate_and_spread(per_second, l);
  return {per_second,
          text,
          fmt::format("{}: {} tokens a second", name, text),
          colour,
          pale,
          ratio(amount, l.upper_quartile()),
          ratio(amount, l.lower_quartile())};
}

BarRow speed_row(const Measurement& m) {
  BarRow row{m.name, {}};
  const std::string kernel = m.kernel.empty() ? "" : ", " + m.kernel;
  row.bars.push_back(bar_of(m.tokens_per_second, m.latency, m.name + kernel, colour_of(m), false));
  if (m.dequantized_tokens_per_second > 0) {
    row.bars.push_back(bar_of(m.dequantized_tokens_per_second, m.dequantized_latency,
                              m.name + ", dequantized on the fly", colour_of(m), true));
  }
  return row;
}

}  // namespace

std::string speed_bars(const Models& models) {
  BarChart chart;
  chart.description = "Tokens generated a second by each model";
  for (const Measurement& m : models) {
    if (m.tokens_per_second > 0) chart.rows.push_back(speed_row(m));
  }
  return chart.rows.empty() ? "" : bar_chart(chart);
}

std::string speed_words(const Models& models) {
  const Measurement* m = fastest_quantized(models);
  if (m == nullptr) return "";
  return verdict_words(*m, models.front()) + on_the_fly_words(*m);
}

std::string speed_section(const Models& models) {
  const std::string bars = speed_bars(models);
  if (bars.empty()) return "";
  return fmt::format(
      "<div class=\"grid\"><figure><h3>Tokens a second, generating</h3><ul class=\"legend\">"
      "<li><span class=\"key c1\"></span>own kernel</li><li><span class=\"key c1 tinted\"></span>"
      "dequantized on the fly</li></ul>{}<figcaption>Medians; whiskers are the "
      "quartiles.</figcaption>"
      "</figure>\n<div class=\"text\">{}</div></div>\n",
      bars, speed_words(models));
}

}  // namespace nibble
