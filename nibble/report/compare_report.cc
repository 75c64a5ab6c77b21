#include "nibble/report/compare_report.h"

#include <fmt/format.h>

#include "nibble/core/counted.h"
#include "nibble/report/classifier_report.h"
#include "nibble/report/html.h"
#include "nibble/report/json_report.h"
#include "nibble/report/model_fields.h"
#include "nibble/report/numbers.h"
#include "nibble/report/page.h"
#include "nibble/report/ranking.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/text.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

// "no measurable loss; 1.71x as fast (1.65x to 1.80x)".
std::string whole_verdict(const Measurement& m) {
  const std::string speed = describe_speed(speedup_of(m), "x");
  return verdict(m) + (speed.empty() ? "" : "; " + speed);
}

std::string text_words(const Measurement& m, bool is_base) {
  if (is_base) return counted(m.text.tokens, "token");
  if (m.text.first_difference < 0) return "the same " + counted(m.text.tokens, "token");
  if (m.text.first_difference >= m.text.tokens)
    return "ends after " + counted(m.text.tokens, "token");
  return fmt::format("differs from token {} on", m.text.first_difference + 1);
}

std::string indented(std::string_view text) {
  std::string out = "    ";
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (begin > 0) out += "\n    ";
    out += display_text(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out + "\n";
}

// What each writes behind the prompt.
std::string render_texts(const CompareResult& r) {
  if (r.models.empty() || r.models.front().text.tokens <= 0) return "";
  std::string out = fmt::format("\nBehind {}:\n",
                                r.prompt.empty() ? "the beginning of a text" : in_quotes(r.prompt));
  for (size_t i = 0; i < r.models.size(); ++i) {
    const Measurement& m = r.models[i];
    out += fmt::format("  {} ({})\n", display_text(m.name), text_words(m, i == 0));
    if (i == 0 || m.text.first_difference >= 0) out += indented(m.text.text);
  }
  return out;
}

std::string advice(const Models& models) {
  const std::string words = recommendation(models);
  return words.empty() ? "" : "<p class=\"lede\">" + escape_html(words) + ".</p>\n";
}

// Of speeds the median over the rounds, of the latency its inverse; 1 for the baseline.
void write_ratios(JsonWriter& json, const Measurement& m, const Measurement& base) {
  const auto times = [&](const Latency& own, const Latency& other) {
    return &m == &base && own.runs() > 0 ? 1.0 : speedup(own, other).median;
  };
  const Throughput& t = m.throughput;
  json.field("file_ratio",
             ratio(static_cast<double>(m.file_bytes), static_cast<double>(base.file_bytes)));
  json.field("prefill_ratio", times(t.prefill, t.base_prefill));
  json.field("decode_ratio", times(t.decode, t.base_decode));
  json.field("latency_ratio", 1 / times(m.latency, m.base_latency));
}

}  // namespace

std::string render_html(const CompareResult& r) {
  const std::string_view text = r.own_text ? "generated " : "";
  return render_page(
      {"nibble compare: " + r.model,
       r.own_text ? "measured on text the first model wrote itself" : "", r.run.date,
       r.run.version},
      r.models,
      {{"verdicts", "What each format costs", "verdicts", advice(r.models) + verdicts(r.models)},
       {"models", "Size, quality, speed", "all numbers", model_table(r.models, text)},
       {"size-quality", "What each bit buys", "size against quality", size_and_quality(r.models)},
       {"throughput", "Reading and writing", "throughput", throughput_table(r.models)},
       {"limits", "How close to the machine's limits", "limits", roofline(r.models, r.roof)},
       {"speed", "Is it faster?", "speed", speed_section(r.models)},
       {"length", "Do differences grow with length?", "length", growth(r.models)},
       {"texts", "What they write", "texts", texts(r.models, r.prompt)},
       {"samples", "Samples side by side", "samples", samples_table(r.models)},
       {"method", "How this was made", "how it was made",
        how_it_was_made(r.run, r.measured_on, r.models)},
       {"words", "Words used here", "words", glossary()}});
}

std::string render_terminal(const CompareResult& r, int width) {
  if (!r.classifiers.empty()) return render_table(r.classifiers, width);
  const std::string speeds = render_speeds(r.models, width);
  std::string out = model_columns(r.models,
                                  {{"name"},
                                   {"bits_per_weight", 4},
                                   {"file_bytes", 0},
                                   {"memory_bytes", 6},
                                   {"perplexity", 0},
                                   {"kl_mean", 2},
                                   {"top1_agreement", 3}},
                                  width) +
                    (speeds.empty() ? "" : "\n" + speeds) + "\n";
  for (size_t i = 1; i < r.models.size(); ++i)
    out += fmt::format("{}: {}\n", display_text(r.models[i].name), whole_verdict(r.models[i]));
  const std::string ranks = render_ranking(r.models, width);
  return out + (ranks.empty() ? "" : "\n" + ranks) + render_texts(r);
}

std::string compare_json(const CompareResult& r) {
  if (!r.classifiers.empty()) return classifiers_json(r.classifiers);
  JsonWriter json;
  json.begin_object()
      .field("schema_version", kReportSchemaVersion)
      .field("nibble_version", r.run.version)
      .field("date", r.run.date)
      .field("machine", r.run.machine)
      .field("measured_on", r.measured_on)
      .field("own_text", r.own_text)
      .field("prompt", r.prompt)
      .field("busy", busy(r.models));
  if (const auto taken = recommended(r.models)) {
    json.field("take", r.models[*taken].name).field("why", recommendation(r.models));
  }
  json.key("models").begin_array();
  for (const Measurement& m : r.models) {
    json.begin_object();
    write_measurement_fields(json, m);
    write_ratios(json, m, r.models.front());
    const bool is_base = &m == &r.models.front();
    const Measurement* better = is_base ? nullptr : beaten_by(m, r.models, file_size_of);
    write_value("beaten_by", better == nullptr ? FieldValue() : FieldValue(better->name), json);
    json.field("verdict", is_base ? std::string("baseline") : verdict(m));
    json.field("speed_verdict",
               is_base ? std::string("baseline") : describe_speed(speedup_of(m), "x"));
    json.end_object();
  }
  json.end_array().end_object();
  return json.finish();
}

}  // namespace nibble
