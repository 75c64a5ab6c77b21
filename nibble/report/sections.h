// The parts of a page, in the order in which they stand. Each gives markup with everything from
// outside escaped, or nothing where its numbers are missing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/eval/measurement.h"
#include "nibble/eval/peak.h"
#include "nibble/report/demo_report.h"

namespace nibble {

using Models = std::vector<Measurement>;

/// "int8 is 3.6x smaller and costs +0.0004 nats a token: no measurable loss." Plain text.
std::string headline(const Models& models);
/// What else is to be known at once: how far one can go, where it breaks, whether it is faster.
std::string lede(const Models& models);
std::string tiles(const Models& models);
/// `text` is what they were measured on, as an adjective: "held-out ".
std::string model_table(const Models& models, std::string_view text = "held-out ");
std::string size_and_quality(const Models& models);
std::string speed_bars(const Models& models);
/// Whether the integer kernels are faster than the baseline, and why. Markup.
std::string speed_words(const Models& models);
/// Both as one section.
std::string speed_section(const Models& models);
/// Prefill, decode and whole generations, with their ratio to the baseline's.
std::string throughput_table(const Models& models);
/// Prefill and decode of each model against what the machine can read and multiply.
std::string roofline(const Models& models, const Roof& roof);
std::string samples_table(const Models& models);
/// One line a model: what it cost and what it gave.
std::string verdicts(const Models& models);
/// How agreement with the baseline goes with position, as plots and in words.
std::string growth(const Models& models);
/// The text each model writes behind the prompt, marked where it parts from the baseline's.
std::string texts(const Models& models, std::string_view prompt);

std::string training(const DemoResult& report);
std::string weight_histograms(const std::vector<WeightHistograms>& histograms);
std::string outliers(const DemoResult& report);
std::string sensitivity(const std::vector<Sensitivity>& sensitivity);
/// `trained`: where the models come of it.
std::string how_it_was_made(const RunInfo& run, const std::string& data, const Models& models,
                            const DemoResult* trained = nullptr);
std::string glossary();

/// A dot in the model's colour and its name.
std::string model_name(const Measurement& m);

}  // namespace nibble
