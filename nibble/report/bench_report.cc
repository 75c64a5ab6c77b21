#include "nibble/report/bench_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/report/json_report.h"
#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

std::string busy_words_of(const BenchResult& r) {
  return busy_words(r.speed.waited_share,
                    std::max(r.speed.prefill.spread(), r.speed.decode.spread()));
}

void write_speeds(const BenchResult& r, JsonWriter& out) {
  out.field("prefill_tokens_per_second", r.speed.prefill_tokens_per_second);
  out.field("decode_tokens_per_second", r.speed.decode_tokens_per_second);
  write_latency(out, "prefill_latency", r.speed.prefill);
  write_latency(out, "decode_latency", r.speed.decode);
  out.field("waited_share", r.speed.waited_share).field("busy", !busy_words_of(r).empty());
  if (!r.compared()) return;
  out.field("against", r.against).field("against_scheme", r.against_scheme);
  out.field("against_prefill_tokens_per_second", r.base.prefill_tokens_per_second);
  out.field("against_decode_tokens_per_second", r.base.decode_tokens_per_second);
  write_speedup(out, "prefill_speedup", r.prefill_speedup());
  write_speedup(out, "decode_speedup", r.decode_speedup());
}

// "prefill of  256:    1834.2 (1790.0-1850.3) tokens/s".
std::string bench_line(std::string_view name, int64_t tokens, double per_second, const Latency& l) {
  const double amount = per_second * l.median();
  return fmt::format("{:15} {:10.1f} ({:.1f}-{:.1f}) tokens/s",
                     fmt::format("{} of {}:", name, tokens), per_second,
                     amount / l.upper_quartile(), amount / l.lower_quartile());
}

std::string load_line(const LoadSpeed& l) {
  if (l.file_bytes == 0) return "";
  return fmt::format("load of {:.1f} MB: {:.3f} s, {:.2f} times a plain read of them\n",
                     static_cast<double>(l.file_bytes) * 1e-6, l.load_seconds, l.ratio());
}

std::string against_lines(const BenchResult& r) {
  if (!r.compared()) return "";
  return fmt::format("against {} in {}, in the same rounds:\n  prefill: {}\n  decode: {}\n",
                     printable(r.against), r.against_scheme,
                     describe_speed(r.prefill_speedup(), "x"),
                     describe_speed(r.decode_speedup(), "x"));
}

}  // namespace

std::string bench_json(const BenchResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("model", r.model);
  out.field("scheme", r.scheme).field("threads", r.threads).field("isa", r.isa).field("cpu", r.cpu);
  out.field("prefill", r.options.prefill).field("decode", r.options.decode);
  out.field("runs", r.speed.decode.runs()).field("sequences", r.options.sequences);
  out.field("kv", kv_name(r.options.kv));
  write_speeds(r, out);
  if (r.load.file_bytes > 0) {
    out.field("load_seconds", r.load.load_seconds).field("read_seconds", r.load.read_seconds);
    out.field("file_bytes", r.load.file_bytes);
  }
  out.field("weight_bytes", r.weight_bytes).field("memory_bytes", r.memory_bytes);
  out.field("weight_bytes_per_second", r.weight_bytes_per_second());
  out.field("peak_rss_bytes", r.peak_rss_bytes).field("kernel", r.kernel);
  return out.field("prefill_kernel", r.prefill_kernel).end_object().finish();
}

std::string render_terminal(const BenchResult& r) {
  const SpeedResult& s = r.speed;
  std::string out = fmt::format("{} in {}, {}, {} ({})\n", r.model, r.scheme,
                                counted(r.threads, "thread"), r.isa, r.kernel);
  out += load_line(r.load);
  out += bench_line("prefill", r.options.prefill, s.prefill_tokens_per_second, s.prefill) + "\n";
  out += bench_line("decode", r.options.decode, s.decode_tokens_per_second, s.decode) +
         fmt::format(", {:.1f} GB/s of weights\n", r.weight_bytes_per_second() * 1e-9);
  out += fmt::format("medians of {} and their quartiles\n", counted(s.decode.runs(), "round"));
  out += against_lines(r);
  out += fmt::format("weights {:.1f} MB a token, peak memory {:.1f} MB\n",
                     static_cast<double>(r.weight_bytes) * 1e-6,
                     static_cast<double>(r.peak_rss_bytes) * 1e-6);
  const std::string busy = busy_words_of(r);
  return busy.empty() ? out : out + busy + "\n";
}

}  // namespace nibble
