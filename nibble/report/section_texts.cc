// What each model writes behind the prompt, and in one line what it cost.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/counted.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/text.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

std::string where_it_parts(const Measurement& m, bool is_base) {
  if (is_base) return counted(m.text.tokens, "token");
  if (m.text.first_difference >= m.text.tokens)
    return fmt::format("ends after {}", counted(m.text.tokens, "token"));
  return fmt::format("differs from token {} of {} on", m.text.first_difference + 1, m.text.tokens);
}

// Line breaks stay; everything else is shown as display_text() does.
std::string lines_escaped(std::string_view text) {
  std::string out;
  while (true) {
    const size_t end = text.find('\n');
    out += escape_html(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

std::string body_of(const Measurement& m, const Measurement& base, bool is_base) {
  if (is_base) return lines_escaped(m.text.text);
  const size_t same = common_prefix(m.text.text, base.text.text);
  const std::string rest = m.text.text.substr(same);
  return lines_escaped(m.text.text.substr(0, same)) + "<mark>" +
         (rest.empty() ? "&#8709;" : lines_escaped(rest)) + "</mark>";
}

std::string speed_words_of(const Measurement& m) {
  std::string out;
  for (const TimedWork& w : timed_works(m)) {
    const Speedup s = w.against_base();
    if (judge_speed(s) == Speed::unknown) continue;
    out += fmt::format("; {} {}", w.key, format_speedup(s, "×"));
  }
  return out;
}

}  // namespace

std::string verdicts(const Models& models) {
  if (models.size() < 2) return "";
  std::string out;
  const Measurement& base = models.front();
  for (size_t i = 1; i < models.size(); ++i) {
    const Measurement& m = models[i];
    const double smaller =
        ratio(static_cast<double>(base.file_bytes), static_cast<double>(m.file_bytes));
    out += fmt::format(
        "<li>{}: <span class=\"{}\">{}</span><span class=\"soft\">; {}× smaller{}"
        "</span></li>\n",
        model_name(m), css_class(judge_cost(m)), escape_html(verdict(m)), format_fixed(smaller, 2),
        speed_words_of(m));
  }
  return fmt::format(
      "<figure><ul class=\"verdicts\">\n{}</ul></figure>\n"
      "<p class=\"note\">Against {}. Significant: beyond two standard errors of the "
      "paired difference. A speed that is a range was not measured closer, and one around 1 is no "
      "difference.</p>\n",
      out, escape_html(base.name));
}

std::string texts(const Models& models, std::string_view prompt) {
  if (models.empty() || models.front().text.tokens <= 0) return "";
  std::string out = fmt::format(
      "<p>The likeliest token each time, behind {}. <mark>Marked</mark>: from where a text parts "
      "from that of {}.</p>\n",
      prompt.empty() ? "the beginning of a text" : "<code>" + escape_html(prompt) + "</code>",
      escape_html(models.front().name));
  std::string same;
  for (size_t i = 0; i < models.size(); ++i) {
    const Measurement& m = models[i];
    if (i > 0 && m.text.first_difference < 0) {
      same += (same.empty() ? "" : ", ") + model_name(m);
      continue;
    }
    out += fmt::format(
        "<figure><h3>{} <span class=\"se\">{}</span></h3><p class=\"written\">{}</p>"
        "</figure>\n",
        model_name(m), where_it_parts(m, i == 0), body_of(m, models.front(), i == 0));
  }
  if (!same.empty())
    out += fmt::format("<p class=\"note\">The same to the last token: {}.</p>\n", same);
  return out;
}

}  // namespace nibble
