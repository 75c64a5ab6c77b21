#include "nibble/nn/sampling_fields.h"

namespace nibble {
namespace {

using Options = SamplingOptions;

bool any_number(double) { return true; }
bool from_zero(double v) { return v >= 0; }
bool above_zero(double v) { return v > 0; }
bool from_one(double v) { return v >= 1; }
bool part(double v) { return v >= 0 && v <= 1; }
bool share_above_zero(double v) { return v > 0 && v <= 1; }

constexpr SamplingField kRows[] = {
    {"temperature", [](Options& o) { return &o.temperature; }, nullptr, true, from_zero,
     "the temperature must be 0 or more",
     "0 always takes the most likely token. Where this and the other settings of "
     "generation_config.json are not given, the file's count, most of them where it says "
     "do_sample"},
    {"top_k", nullptr, [](Options& o) { return &o.top_k; }, false, from_zero,
     "top-k must be 0 (all) or more", "Choose among the k most likely tokens (0: all)"},
    {"top_p", [](Options& o) { return &o.top_p; }, nullptr, false, share_above_zero,
     "top-p must be above 0 and at most 1", "Choose among the most likely tokens that share p"},
    {"min_p", [](Options& o) { return &o.min_p; }, nullptr, false, part,
     "min-p must be between 0 and 1",
     "Choose among tokens at least this share as likely as the likeliest"},
    {"typical_p", [](Options& o) { return &o.typical_p; }, nullptr, false, share_above_zero,
     "`typical_p` must be above 0 and at most 1",
     "Choose among the tokens nearest to the entropy that share p (1: all)"},
    {"top_n_sigma", [](Options& o) { return &o.top_n_sigma; }, nullptr, false, from_zero,
     "`top_n_sigma` must be 0 (off) or more",
     "Choose among tokens whose logit is within this many standard deviations of the highest "
     "(0: all)"},
    {"repetition_penalty", [](Options& o) { return &o.repetition_penalty; }, nullptr, true,
     above_zero, "the repetition penalty must be above 0",
     "Above 1 makes tokens that occurred less likely"},
    {"presence_penalty", [](Options& o) { return &o.presence_penalty; }, nullptr, true, any_number,
     "`presence_penalty` must be a finite number",
     "Taken off the logit of every token that occurred"},
    {"frequency_penalty", [](Options& o) { return &o.frequency_penalty; }, nullptr, true,
     any_number, "`frequency_penalty` must be a finite number",
     "Taken off a token's logit once for each time that it occurred"},
    {"dry_multiplier", [](Options& o) { return &o.dry.multiplier; }, nullptr, true, from_zero,
     "`dry_multiplier` must be 0 (off) or more",
     "DRY: taken off the logit of a token that goes on with a repetition, times the next to the "
     "power of its length (0: off; 0.8 is usual)"},
    {"dry_base", [](Options& o) { return &o.dry.base; }, nullptr, true, from_one,
     "`dry_base` must be 1 or more", "DRY: how fast that grows with the length"},
    {"dry_allowed_length", nullptr, [](Options& o) { return &o.dry.allowed_length; }, true,
     from_one, "`dry_allowed_length` must be 1 or more",
     "DRY: shorter repetitions, in tokens, are free"},
};

}  // namespace

double SamplingField::value(const SamplingOptions& options) const {
  Options copy = options;
  return real != nullptr ? *real(copy) : static_cast<double>(*whole(copy));
}

std::span<const SamplingField> sampling_fields() { return kRows; }

}  // namespace nibble
