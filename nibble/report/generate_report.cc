#include "nibble/report/generate_report.h"

#include <fmt/format.h>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/nn/sampling_fields.h"
#include "nibble/report/json_report.h"

namespace nibble {
namespace {

double tokens_a_second(int64_t tokens, double seconds) {
  return tokens > 0 && seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

std::vector<int64_t> wide(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

void write_logprob(const TokenLogprob& t, JsonWriter& out) {
  out.field("id", static_cast<int64_t>(t.id)).field("token", t.token).field("logprob", t.logprob);
}

void write_generated(const GeneratedText& t, JsonWriter& out) {
  out.field("prompt", t.prompt).array("prompt_ids", wide(t.prompt_ids)).array("ids", wide(t.ids));
  out.field("text", t.text);
  if (t.logprobs.empty()) return;
  out.key("logprobs").begin_array();
  for (const TokenLogprobs& one : t.logprobs) {
    out.begin_object();
    write_logprob(one.chosen, out);
    out.key("best").begin_array();
    for (const TokenLogprob& b : one.best) {
      out.begin_object();
      write_logprob(b, out);
      out.end_object();
    }
    out.end_array().end_object();
  }
  out.end_array();
}

void write_sampling(const GenerateResult& r, JsonWriter& out) {
  const SamplingOptions& o = r.sampling;
  out.key("sampling").begin_object();
  for (const SamplingField& f : sampling_fields()) {
    if (f.whole != nullptr)
      out.field(f.name, static_cast<int64_t>(f.value(o)));
    else
      out.field(f.name, f.value(o));
  }
  out.key("logit_bias").begin_array();
  for (const LogitBias& b : o.bias) {
    out.begin_object().field("id", static_cast<int64_t>(b.id));
    out.field("value", static_cast<double>(b.value)).end_object();
  }
  out.end_array().end_object();
  out.array("from_generation_config", r.from_generation_config);
}

}  // namespace

std::string generate_json(const GenerateResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion);
  write_generated(r.texts.front(), out);
  out.key("samples").begin_array();
  for (int i = 0; i < r.samples; ++i) out.value(r.texts[static_cast<size_t>(i)].text);
  out.end_array();
  out.field("prefill_tokens_per_second", tokens_a_second(r.prompt_tokens, r.prefill_seconds));
  out.field("decode_tokens_per_second",
            tokens_a_second(r.new_tokens - r.first_tokens, r.decode_seconds));
  write_sampling(r, out);
  out.field("kv", kv_name(r.kv)).key("results").begin_array();
  for (const GeneratedText& t : r.texts) {
    out.begin_object();
    write_generated(t, out);
    out.end_object();
  }
  return out.end_array().end_object().finish();
}

std::string render_terminal(const TokenizeResult& r) {
  std::string out;
  for (size_t i = 0; i < r.ids.size(); ++i)
    out += fmt::format("{:>7}  {}\n", r.ids[i], printable(r.tokens[i], 4096));
  return out;
}

std::string tokenize_json(const TokenizeResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("kind", r.kind);
  if (r.text) out.field("text", *r.text);
  out.field("tokens", static_cast<int64_t>(r.ids.size()));
  return out.array("ids", wide(r.ids)).end_object().finish();
}

}  // namespace nibble
