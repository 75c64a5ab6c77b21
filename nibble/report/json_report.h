// What was measured, for machines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/eval/measurement.h"
#include "nibble/eval/speedup.h"
#include "nibble/report/demo_report.h"

namespace nibble {

/// Grows by one whenever a field changes its meaning or goes; new fields do not count.
inline constexpr int kReportSchemaVersion = 1;

/// One object: schema_version, what was trained and where, and `models`, each with name, scheme,
/// file_bytes, memory_bytes, loss, perplexity, top1_agreement, kl_mean, tokens_per_second, samples
/// and the other fields of Measurement. The first model is the baseline.
std::string models_json(const DemoResult& report);
/// The same without training.
std::string models_json(const std::vector<Measurement>& models);

/// Under `key`: runs, median, quartiles (q1, q3), minimum, maximum, mean and standard deviation.
void write_latency(JsonWriter& json, std::string_view key, const Latency& latency);
/// Rounds, median, low and high (null without an interval) and verdict; null where nothing was
/// timed, as of the baseline itself.
void write_speedup(JsonWriter& json, std::string_view key, const Speedup& speedup);
/// One measurement as an object, for commands that put it into a document of their own.
void write_measurement(JsonWriter& json, const Measurement& m);
/// Its fields alone, into an object that is open.
void write_measurement_fields(JsonWriter& json, const Measurement& m);

}  // namespace nibble
