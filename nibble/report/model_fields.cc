#include "nibble/report/model_fields.h"

#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

template <auto Member>
FieldValue model_value(const ModelRow& r) {
  return r.m.*Member;
}
template <auto Member>
FieldValue divergence_value(const ModelRow& r) {
  return r.m.divergence.*Member;
}
FieldValue times_smaller_value(const ModelRow& r) {
  return ratio(static_cast<double>(r.base.file_bytes), static_cast<double>(r.m.file_bytes));
}
// All bytes of its files over all its parameters: what a label says of neither.
FieldValue file_bits(const ModelRow& r) {
  return 8 * ratio(static_cast<double>(r.m.file_bytes), static_cast<double>(r.m.parameters));
}
FieldValue decode_speed(const ModelRow& r) {
  const double timed = r.m.throughput.decode_tokens_per_second;
  return timed > 0 ? FieldValue(timed) : FieldValue();
}
FieldValue generation_speedup(const ModelRow& r) { return speedup_of(r.m); }
FieldValue dequantized_speedup(const ModelRow& r) {
  return speedup(r.m.latency, r.m.dequantized_latency);
}
bool was_measured(const ModelRow& r) { return r.m.tokens > 0; }
bool was_compared(const ModelRow& r) { return was_measured(r) && !r.is_base(); }

using M = Measurement;
using D = Divergence;
constexpr Field<ModelRow> kModelFields[] = {
    {"name", model_value<&M::name>, "model", show_text},
    {"scheme", model_value<&M::scheme>},
    {"folder", model_value<&M::folder>},
    {"parameters", model_value<&M::parameters>},
    {"file_bytes", model_value<&M::file_bytes>, "file", show_bytes},
    {"memory_bytes", model_value<&M::memory_bytes>, "memory", show_bytes},
    {"weight_bytes", model_value<&M::weight_bytes>},
    {"file_bits_per_weight", file_bits, "file bits/w", show_digits<format_fixed, 2>},
    {"decode_tokens_per_second", decode_speed, "decode/s", show_rate, nullptr, false},
    {"bits_per_weight", model_value<&M::bits_per_weight>, "bits/w", show_digits<format_fixed, 2>},
    {"loss", model_value<&M::loss>, "loss", show_digits<format_fixed, 4>, was_measured},
    {"standard_error", model_value<&M::standard_error>},
    {"perplexity", model_value<&M::perplexity>, "ppl", show_digits<format_fixed, 3>, was_measured},
    {"tokens", model_value<&M::tokens>},
    {"loss_difference", model_value<&M::loss_difference>, "change", show_digits<format_signed, 4>,
     was_compared},
    {"loss_difference_standard_error", model_value<&M::loss_difference_standard_error>, "+-",
     show_digits<format_fixed, 4>, was_compared},
    {"top1_agreement", divergence_value<&D::top1_agreement>, "top-1",
     show_digits<format_percent, 1>, was_compared},
    {"kl_mean", divergence_value<&D::kl_mean>, "KL", show_digits<format_significant, 2>,
     was_compared},
    {"kl_standard_error", divergence_value<&D::kl_standard_error>},
    {"kl_median", divergence_value<&D::kl_median>},
    {"kl_p90", divergence_value<&D::kl_p90>},
    {"kl_p99", divergence_value<&D::kl_p99>},
    {"kl_p999", divergence_value<&D::kl_p999>, "KL 99.9%", show_digits<format_significant, 2>,
     was_compared},
    {"kl_max", divergence_value<&D::kl_max>},
    {"top1_standard_error", divergence_value<&D::top1_standard_error>},
    {"rms_delta_p", divergence_value<&D::rms_delta_p>},
    {"rms_delta_p_standard_error", divergence_value<&D::rms_delta_p_standard_error>},
    {"latency", model_value<&M::latency>},
    {"speedup", generation_speedup},
    {"dequantized_speedup", dequantized_speedup},
    {"waited_share", model_value<&M::waited_share>},
    {"tokens_per_second", model_value<&M::tokens_per_second>},
    {"dequantized_tokens_per_second", model_value<&M::dequantized_tokens_per_second>},
    {"kernel", model_value<&M::kernel>},
    {"times_smaller", times_smaller_value, "smaller", show_times, nullptr, false}};

}  // namespace

std::span<const Field<ModelRow>> model_fields() { return kModelFields; }

}  // namespace nibble
