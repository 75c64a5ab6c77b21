#include "cli/flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble::cli {
namespace {

struct FlagRow {
  std::string_view field, flag;
};
constexpr FlagRow kFlagRows[] = {
    {"accumulate", "--accumulate"},
    {"act_order", "--no-act-order"},
    {"activations", "--activations"},
    {"adapter", "--adapter"},
    {"against", "--against"},
    {"also", "--quantize"},
    {"bandwidth", "--bandwidth"},
    {"bf16", "--bf16"},
    {"bits", "--bits"},
    {"calibration_length", "--length"},
    {"calibration_samples", "--samples"},
    {"calibration_text", "--calib"},
    {"chat", "--chat"},
    {"chat_format", "--chat-format"},
    {"clip", "--clip"},
    {"context", "--context"},
    {"corrupt", "--corrupt"},
    {"damping", "--damping"},
    {"data", "--data"},
    {"distill", "--distill"},
    {"distill_share", "--distill-share"},
    {"dry_allowed_length", "--dry-allowed-length"},
    {"dry_base", "--dry-base"},
    {"dry_breakers", "--dry-breaker"},
    {"dry_multiplier", "--dry-multiplier"},
    {"expert_balance", "--expert-balance"},
    {"force", "--force"},
    {"format", "--format"},
    {"freeze", "--freeze"},
    {"frequency_penalty", "--frequency-penalty"},
    {"from", "--from"},
    {"half_step_divisor", "--half-step"},
    {"heads", "--heads"},
    {"importance_file", "--imatrix"},
    {"inputs", "--inputs"},
    {"intermediate", "--intermediate"},
    {"keep", "--keep"},
    {"kv", "--kv"},
    {"kv_heads", "--kv-heads"},
    {"layers", "--layers"},
    {"loftq", "--loftq"},
    {"logit_bias", "--logit-bias"},
    {"logprobs", "--logprobs"},
    {"lora", "--lora"},
    {"max_kl", "--max-kl"},
    {"max_memory", "--max-memory"},
    {"max_size", "--max-size"},
    {"method", "--method"},
    {"min_p", "--min-p"},
    {"outlier_threshold", "--threshold"},
    {"parameters", "--params"},
    {"prefill_chunk", "--prefill-chunk"},
    {"presence_penalty", "--presence-penalty"},
    {"protocol", "--protocol"},
    {"qat", "--qat"},
    {"repetition_penalty", "--repetition-penalty"},
    {"resume", "--resume"},
    {"scale_dtype", "--scale-dtype"},
    {"seed", "--seed"},
    {"set", "--set"},
    {"shape", "--shape"},
    {"shift", "--shift"},
    {"strict", "--strict"},
    {"sweeps", "--sweeps"},
    {"system", "--system"},
    {"temperature", "--temperature"},
    {"template_arg", "--template-arg"},
    {"template_date", "--template-date"},
    {"text", "--text"},
    {"threads", "--threads"},
    {"to", "--to"},
    {"top_k", "--top-k"},
    {"top_n_sigma", "--top-n-sigma"},
    {"top_p", "--top-p"},
    {"training_batch", "--qat-batch"},
    {"training_epochs", "--qat-epochs"},
    {"training_rate", "--qat-lr"},
    {"training_samples", "--qat-samples"},
    {"training_scale_rate", "--qat-scale-lr"},
    {"type", "--type"},
    {"typical_p", "--typical-p"},
    {"verify", "--verify"},
    {"vocab", "--vocab"},
    {"width", "--width"},
    {"window", "--window"},
};

// The row of the field in backticks that `text` begins with, or the end.
const FlagRow* row_at(std::string_view text) {
  return std::find_if(std::begin(kFlagRows), std::end(kFlagRows), [&](const FlagRow& r) {
    return text.size() > r.field.size() + 1 && text[0] == '`' &&
           text.substr(1, r.field.size()) == r.field && text[r.field.size() + 1] == '`';
  });
}

}  // namespace

std::string in_flags(std::string_view text) {
  std::string out;
  bool quoted = false;
  while (!text.empty()) {
    quoted ^= text[0] == '"';
    const FlagRow* row = quoted ? std::end(kFlagRows) : row_at(text);
    const bool found = row != std::end(kFlagRows);
    out += found ? row->flag : text.substr(0, 1);
    text.remove_prefix(found ? row->field.size() + 2 : 1);
  }
  return out;
}

std::vector<std::string> in_flags(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  out.reserve(texts.size());
  for (const std::string& t : texts) out.push_back(in_flags(t));
  return out;
}

std::string_view field_of(std::string_view flag) {
  const FlagRow* row = std::find_if(std::begin(kFlagRows), std::end(kFlagRows),
                                    [&](const FlagRow& r) { return r.flag == flag; });
  return row == std::end(kFlagRows) ? std::string_view() : row->field;
}

DType parse_scale_dtype(const std::string& text) {
  const auto dtype = parse_dtype(text);
  if (dtype != DType::f16 && dtype != DType::bf16 && dtype != DType::f32)
    throw invalid_argument(fmt::format("--scale-dtype {}: use f16, bf16 or f32", in_quotes(text)));
  return *dtype;
}

}  // namespace nibble::cli
