// What the page says first.
#include <fmt/format.h>

#include <cmath>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

std::string times_smaller(const Measurement& m, const Measurement& base) {
  return format_fixed(
      ratio(static_cast<double>(base.file_bytes), static_cast<double>(m.file_bytes)), 1);
}

std::string change_of(const Measurement& m) {
  return fmt::format("{} ± {} nats", format_signed(m.loss_difference, 4),
                     format_fixed(m.loss_difference_standard_error, 4));
}

/// The model that lost most, where that is a heavy loss.
const Measurement* broken(const Models& models) {
  const Measurement* worst = nullptr;
  for (const Measurement& m : models) {
    if (judge_cost(m) != Cost::heavy) continue;
    if (worst == nullptr || m.loss_difference > worst->loss_difference) worst = &m;
  }
  return worst;
}

std::string speed_sentence(const Models& models) {
  const Measurement* m = fastest_quantized(models);
  if (m == nullptr) return "";
  const Speedup s = speedup_of(*m);
  const std::string name = escape_html(m->name), base_name = escape_html(models.front().name);
  const std::string words = describe_speed(s, "×");
  const std::string numbers =
      fmt::format("{} against {} tokens a second", format_rate(m->tokens_per_second),
                  format_rate(base_tokens_per_second(*m)));
  switch (judge_speed(s)) {
    case Speed::unknown:
      return "";
    case Speed::slower:
    case Speed::same:
      return fmt::format("{} is <strong>not faster</strong> than {} at this size: {}, {}. ", name,
                         base_name, words, numbers);
    case Speed::unclear:
      return fmt::format("{} is {} of {}: no difference in speed could be measured. ", name, words,
                         base_name);
    case Speed::faster:
      return fmt::format("Against {}, {} is <strong>{}</strong> here: {}. ", base_name, name, words,
                         numbers);
  }
  return "";
}

std::string tile(std::string_view name, const std::string& value, const std::string& detail) {
  return fmt::format(
      "<div class=\"tile\"><dt>{}</dt><dd class=\"value\">{}</dd><dd "
      "class=\"detail\">{}</dd></div>\n",
      escape_html(name), escape_html(value), escape_html(detail));
}

std::string agreement_tile(const Measurement& m, const Measurement& base) {
  if (m.tokens <= 0) return "";
  return tile(
      "Same first choice", format_percent(m.divergence.top1_agreement, 1),
      fmt::format("of {} tokens ranked first as {} does; KL {} nats", format_count(m.tokens),
                  base.name, format_significant(m.divergence.kl_mean)));
}

std::string speed_tile(const Models& models) {
  const Measurement* fast = fastest_quantized(models);
  if (fast == nullptr || judge_speed(speedup_of(*fast)) == Speed::unknown) return "";
  return tile("Speed", format_speedup(speedup_of(*fast), "×"),
              fmt::format("{}: {} tokens a second, {} has {}", fast->name,
                          format_rate(fast->tokens_per_second), models.front().name,
                          format_rate(base_tokens_per_second(*fast))));
}

}  // namespace

std::string headline(const Models& models) {
  const Measurement* m = headliner(models);
  if (m == nullptr) return "Nothing was compared";
  const Measurement& base = models.front();
  const double smaller =
      ratio(static_cast<double>(base.file_bytes), static_cast<double>(m->file_bytes));
  const std::string size =
      std::isfinite(smaller) ? fmt::format("is {}× smaller and ", times_smaller(*m, base)) : "";
  if (judge_cost(*m) == Cost::unknown) return fmt::format("{} {}was not measured", m->name, size);
  const bool costs = format_signed(m->loss_difference, 4).front() == '+';
  return fmt::format("{} {}{} {} nats a token: {}", m->name, size,
                     costs ? "costs" : "changes the loss by", format_signed(m->loss_difference, 4),
                     describe_cost(*m));
}

std::string lede(const Models& models) {
  const Measurement* lead = headliner(models);
  if (lead == nullptr) return "";
  const Measurement& base = models.front();
  std::string out;
  const Measurement* further = smallest_usable(models);
  if (further != nullptr && further->file_bytes < lead->file_bytes) {
    out += fmt::format("<strong>{}</strong> goes further: {}× smaller for {}, {}. ",
                       escape_html(further->name), times_smaller(*further, base),
                       change_of(*further), describe_cost(*further));
  }
  if (const Measurement* worst = broken(models); worst != nullptr && worst != lead) {
    out += fmt::format("<strong>{}</strong> shows where it breaks: {}× smaller, but {} ({}). ",
                       escape_html(worst->name), times_smaller(*worst, base), change_of(*worst),
                       describe_cost(*worst));
  }
  out += speed_sentence(models) + escape_html(busy_words(models));
  return out.empty() ? "" : "<p class=\"lede\">" + out + "</p>\n";
}

std::string tiles(const Models& models) {
  const Measurement* m = headliner(models);
  if (m == nullptr) return "";
  const Measurement& base = models.front();
  std::string out = "<dl class=\"tiles\">\n";
  out += tile(
      "Smaller file", times_smaller(*m, base) + "×",
      fmt::format("{}: {} instead of {}, {} bits a weight", m->name, format_bytes(m->file_bytes),
                  format_bytes(base.file_bytes), format_fixed(m->bits_per_weight, 2)));
  if (judge_cost(*m) != Cost::unknown) {
    out += tile("Change of loss", format_signed(m->loss_difference, 4),
                fmt::format("± {} nats; perplexity {} instead of {}",
                            format_fixed(m->loss_difference_standard_error, 4),
                            format_fixed(m->perplexity, 3), format_fixed(base.perplexity, 3)));
  }
  out += agreement_tile(*m, base);
  return out + speed_tile(models) + "</dl>\n";
}

}  // namespace nibble
