#include "nibble/report/json_report.h"

#include <limits>

#include "nibble/report/model_fields.h"
#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

void write_positions(JsonWriter& json, const Divergence& d) {
  json.key("by_position").begin_array();
  for (const PositionDivergence& p : d.by_position) {
    json.begin_object().field("first", p.first).field("last", p.last).field("tokens", p.tokens);
    json.field("top1_agreement", p.top1_agreement).field("kl_mean", p.kl_mean).end_object();
  }
  json.end_array();
}

void write_throughput(JsonWriter& json, const Throughput& t) {
  if (t.decode_tokens <= 0) return;
  json.field("prefill_tokens", t.prefill_tokens)
      .field("decode_tokens", t.decode_tokens)
      .field("prefill_tokens_per_second", t.prefill_tokens_per_second)
      .field("decode_tokens_per_second", t.decode_tokens_per_second);
  write_latency(json, "prefill_latency", t.prefill);
  write_latency(json, "decode_latency", t.decode);
  write_speedup(json, "prefill_speedup", speedup(t.prefill, t.base_prefill));
  write_speedup(json, "decode_speedup", speedup(t.decode, t.base_decode));
}

void write_text(JsonWriter& json, const TextComparison& t) {
  if (t.tokens <= 0) return;
  json.field("text", t.text).field("text_tokens", t.tokens).key("first_difference");
  if (t.first_difference < 0)
    json.null();
  else
    json.value(t.first_difference);
  json.field("continuations", t.continuations).array("prefix_agreement", t.prefix_agreement);
}

}  // namespace

void write_latency(JsonWriter& json, std::string_view key, const Latency& l) {
  json.key(key).begin_object();
  json.field("runs", l.runs())
      .field("median_seconds", l.median())
      .field("q1_seconds", l.lower_quartile())
      .field("q3_seconds", l.upper_quartile())
      .field("minimum_seconds", l.minimum())
      .field("maximum_seconds", l.maximum())
      .field("mean_seconds", l.mean())
      .field("standard_deviation_seconds", l.standard_deviation())
      .end_object();
}

void write_speedup(JsonWriter& json, std::string_view key, const Speedup& s) {
  json.key(key);
  if (s.rounds == 0) {
    json.null();
    return;
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();  // null in the document
  json.begin_object()
      .field("rounds", s.rounds)
      .field("median", s.median)
      .field("low", s.interval ? s.interval->low : kNone)
      .field("high", s.interval ? s.interval->high : kNone)
      .field("verdict", name_of(judge_speed(s)))
      .end_object();
}

void write_measurement_fields(JsonWriter& json, const Measurement& m) {
  write_fields(model_fields(), ModelRow{m, m}, json);
  json.array("samples", m.samples);
  write_throughput(json, m.throughput);
  write_positions(json, m.divergence);
  write_text(json, m.text);
}

}  // namespace nibble
