#include "nibble/report/estimate_report.h"

#include <fmt/format.h>

#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/report/fields.h"
#include "nibble/report/json_report.h"
#include "nibble/report/numbers.h"

namespace nibble {
namespace {

// A scheme on the machine that the result speaks of.
struct EstimateRow {
  const EstimateResult& of;
  const Estimate& e;
};

constexpr Field<EstimateRow> kEstimateFields[] = {
    {"scheme", [](const EstimateRow& r) -> FieldValue { return to_string(r.e.scheme); }, "scheme",
     show_text},
    {"memory_bytes", [](const EstimateRow& r) -> FieldValue { return r.e.memory_bytes; }, "weights",
     show_bytes},
    {"weight_bytes", [](const EstimateRow& r) -> FieldValue { return r.e.weight_bytes; }},
    {"kv_bytes", [](const EstimateRow& r) -> FieldValue { return r.e.kv_bytes; }, "KV cache",
     show_bytes},
    {"scratch_bytes", [](const EstimateRow& r) -> FieldValue { return r.e.scratch_bytes; }},
    {"total_bytes", [](const EstimateRow& r) -> FieldValue { return r.e.total(); }, "total",
     show_bytes},
    {"fits", [](const EstimateRow& r) -> FieldValue { return r.of.fits(r.e); }, "fits",
     show_yes_no},
    {"decode_tokens_per_second",
     [](const EstimateRow& r) -> FieldValue { return r.e.tokens_per_second(r.of.bandwidth); },
     "tokens/s", show_rate},
    {"decode_tokens_per_second_full_context",
     [](const EstimateRow& r) -> FieldValue { return r.e.tokens_per_second_full(r.of.bandwidth); },
     "at full context", show_rate}};

std::vector<EstimateRow> estimate_rows(const EstimateResult& r) {
  std::vector<EstimateRow> out;
  for (const Estimate& e : r.schemes) out.push_back({r, e});
  return out;
}

}  // namespace

std::string estimate_json(const EstimateResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("model", r.model);
  out.field("parameters", r.parameters).field("layers", r.layers).field("width", r.width);
  out.field("context", r.context).field("memory_bytes_available", r.memory_available);
  out.field("threads", r.threads).field("bandwidth_bytes_per_second", r.bandwidth);
  out.field("bandwidth_measured", r.measured).field("kv_bytes_per_token", r.kv_bytes_per_token);
  out.key("schemes").begin_array();
  for (const EstimateRow& row : estimate_rows(r)) {
    out.begin_object();
    write_fields<EstimateRow>(kEstimateFields, row, out);
    out.end_object();
  }
  return out.end_array().end_object().finish();
}

std::string render_terminal(const EstimateResult& r, int width) {
  return fmt::format("{}: {} parameters, {}, {} wide, context {}, KV cache in {}\n",
                     printable(r.model), format_count(r.parameters), counted(r.layers, "layer"),
                     r.width, format_count(r.context), to_string(r.kv)) +
         fmt::format("this machine: {} of memory, {:.1f} GB/s {}\n\n",
                     format_bytes(r.memory_available), r.bandwidth * 1e-9,
                     r.measured ? "read by " + counted(r.threads, "thread") : "as given") +
         fields_table<EstimateRow>(kEstimateFields,
                                   {{"scheme"},
                                    {"memory_bytes", 0},
                                    {"kv_bytes", 1},
                                    {"total_bytes", 0},
                                    {"fits", 0},
                                    {"decode_tokens_per_second", 0},
                                    {"decode_tokens_per_second_full_context", 2}},
                                   estimate_rows(r), width) +
         "\nTokens/s is what memory allows when decoding one text: an upper bound, as every weight "
         "is read for each token.\n";
}

}  // namespace nibble
