#include "cli/sampling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace nibble::cli {
namespace {

// An option and how transformers spells it.
struct Setting {
  const char* flag;
  const char* name;
  double (*value)(const SamplingOptions&);
};
constexpr Setting kSettings[] = {
    {"--temperature", "temperature", [](const SamplingOptions& o) { return o.temperature; }},
    {"--top-k", "top_k", [](const SamplingOptions& o) { return static_cast<double>(o.top_k); }},
    {"--top-p", "top_p", [](const SamplingOptions& o) { return o.top_p; }},
    {"--min-p", "min_p", [](const SamplingOptions& o) { return o.min_p; }},
    {"--repetition-penalty", "repetition_penalty",
     [](const SamplingOptions& o) { return o.repetition_penalty; }}};

}  // namespace

void add_sampling(CLI::App& verb, SamplingFlags& flags) {
  SamplingOptions& sampling = flags.sampling;
  sampling.temperature = 0.5;
  flags.verb = &verb;
  verb.add_option("--temperature", sampling.temperature,
                  "0 always takes the most likely token. Where this and the next four are not "
                  "given, generation_config.json's count, the first four where it says do_sample")
      ->capture_default_str();
  verb.add_option("--top-k", sampling.top_k, "Choose among the k most likely tokens (0: all)")
      ->capture_default_str();
  verb.add_option("--top-p", sampling.top_p, "Choose among the most likely tokens that share p")
      ->capture_default_str();
  verb.add_option("--min-p", sampling.min_p,
                  "Choose among tokens at least this share as likely as the likeliest")
      ->capture_default_str();
  verb.add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Above 1 makes tokens that occurred less likely")
      ->capture_default_str();
}

Sampling sampling_of(const SamplingFlags& flags, const GenerationDefaults& defaults) {
  std::set<std::string> given;
  for (const Setting& s : kSettings) {
    if (flags.verb->count(s.flag) > 0) given.insert(s.name);
  }
  Sampling out{flags.sampling, {}};
  out.taken = take_defaults(defaults, given, out.options);
  return out;
}

std::vector<std::string> unread_flags(const SamplingFlags& flags, const SamplingOptions& chosen) {
  std::vector<std::string> out;
  if (chosen.temperature > 0) return out;
  for (const char* flag : {"--top-k", "--top-p", "--min-p"}) {
    if (flags.verb->count(flag) > 0)
      out.push_back(fmt::format(
          "{}: without effect, since a temperature of 0 always takes the most likely token", flag));
  }
  return out;
}

void say_taken(const Common& common, const Sampling& sampling) {
  std::vector<std::string> words;
  for (const Setting& s : kSettings) {
    if (std::find(sampling.taken.begin(), sampling.taken.end(), s.name) != sampling.taken.end())
      words.push_back(fmt::format("{} {}", s.flag, s.value(sampling.options)));
  }
  if (words.empty()) return;
  say(common, fmt::format("nibble: as generation_config.json says: {} (give a flag to change it)",
                          fmt::join(words, " ")));
}

void write_sampling(const Sampling& sampling, JsonWriter& out) {
  const SamplingOptions& o = sampling.options;
  out.key("sampling").begin_object();
  out.field("temperature", o.temperature).field("top_k", o.top_k).field("top_p", o.top_p);
  out.field("min_p", o.min_p).field("repetition_penalty", o.repetition_penalty).end_object();
  out.array("from_generation_config", sampling.taken);
}

}  // namespace nibble::cli
