// How the page came about, and what its words mean.
#include <fmt/format.h>

#include <array>

#include "nibble/core/counted.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/sections.h"
#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

std::string fact(std::string_view name, const std::string& value) {
  if (value.empty()) return "";
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(name), escape_html(value));
}

std::string training_facts(const DemoResult& r) {
  std::string out = fact("Model", r.model);
  if (r.steps > 0) {
    out += fact("Training",
                fmt::format("{} {} of {} {}, seed {}, data split with seed {}",
                            format_count(r.steps), noun(r.steps, "step"), format_count(r.batch),
                            noun(r.batch, "sequence"), r.seed, r.data_seed));
  }
  return out;
}

struct Word {
  std::string_view word, meaning;
};
constexpr std::array kWords = {
    Word{"Quantizing",
         "Storing each weight as a small whole number, the code, instead of a 32-bit float. 8 bits "
         "hold 256 different codes, 4 bits 16, 2 bits 4."},
    Word{"Scale",
         "What a code is multiplied with to be a weight again: weight = code × scale. Chosen so "
         "that the "
         "largest weight gets the largest code; half a scale is the most that rounding moves a "
         "weight."},
    Word{
        "Zero point",
        "The code that stands for 0 where codes count from the smallest weight instead of around 0 "
        "(asymmetric): weight = (code − zero point) × scale. It helps where weights lean to one "
        "side."},
    Word{"Tensor, channel, group",
         "How many weights share a scale: a whole matrix, one row of it (one output "
         "channel), or a run of g weights in a row, written g16. Fewer share: less error, "
         "more scales to store, which is why int4 with groups of 16 has 5 bits a weight."},
    Word{"QAT",
         "Quantization-aware training: the model is trained with its weights rounded, so that the "
         "others make up for what rounding does. Rows without it are rounded when training is "
         "over."},
    Word{"Held-out text",
         "Text kept away from training. Loss on it tells what the model has learned rather than "
         "remembered."},
    Word{"Loss and nats",
         "The mean of −ln(probability the model gave to the token that really came). Its unit "
         "is the nat; 0.693 nats are one bit. Lower is better."},
    Word{
        "Perplexity",
        "e to the loss: as if the model chose among that many equally likely tokens at each step."},
    Word{"Standard error",
         "How far a measured mean typically lies from the one over endless text. Both models read "
         "the same text, so their difference is measured pair by pair and far more exactly than "
         "either loss."},
    Word{"KL divergence",
         "How many nats the quantized model's prediction loses against the baseline's, averaged "
         "over "
         "all tokens the baseline holds possible. 0 means the same distribution."},
    Word{"Top-1 agreement",
         "The share of places where both models find the same token most likely."},
    Word{"Outlier",
         "A value many standard deviations from the mean. It stretches the scale for every value "
         "that "
         "shares it."},
};

}  // namespace

std::string how_it_was_made(const RunInfo& run, const std::string& data, const Models& models,
                            const DemoResult* trained) {
  std::string facts = fact("Machine", run.machine) + fact("Made", run.date) +
                      fact("nibble", run.version) + fact("Data", data) +
                      (trained != nullptr ? training_facts(*trained) : "");
  if (!models.empty() && models.front().tokens > 0) {
    facts += fact("Measured on", format_count(models.front().tokens) + " tokens");
    if (const int64_t rounds = fewest_rounds(models); rounds > 0)
      facts += fact("Timed over", format_count(rounds) + noun(rounds, " round") +
                                      " or more after warm-up, each model in turn with " +
                                      models.front().name);
  }
  std::string out = facts.empty() ? "" : "<dl class=\"facts\">\n" + facts + "</dl>\n";
  if (!run.command.empty()) {
    out += "<p>To make this page again:</p>\n<pre tabindex=\"0\"><code>" +
           escape_html(run.command) + "</code></pre>\n";
  }
  return out;
}

std::string glossary() {
  std::string out;
  for (const Word& w : kWords) {
    out += fmt::format("<details><summary>{}</summary><p>{}</p></details>\n", escape_html(w.word),
                       escape_html(w.meaning));
  }
  return out;
}

}  // namespace nibble
