// What the documents of several verbs have in common.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/eval/measurement.h"
#include "nibble/eval/speedup.h"

namespace nibble {

/// Grows by one whenever a field changes its meaning or goes; new fields do not count.
inline constexpr int kReportSchemaVersion = 1;

/// Under `key`: runs, median, quartiles (q1, q3), minimum, maximum, mean and standard deviation.
void write_latency(JsonWriter& json, std::string_view key, const Latency& latency);
/// Rounds, median, low and high (null without an interval) and verdict; null where nothing was
/// timed, as of the baseline itself.
void write_speedup(JsonWriter& json, std::string_view key, const Speedup& speedup);
/// Everything of a measurement, into an object that is open.
void write_measurement_fields(JsonWriter& json, const Measurement& m);

}  // namespace nibble
