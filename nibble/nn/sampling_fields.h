// The numbers of SamplingOptions, a row each: what a command, a report and a check need to know.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "nibble/nn/sampling.h"

namespace nibble {

struct SamplingField {
  std::string_view name;  ///< as generation_config.json would spell it
  double* (*real)(SamplingOptions&);
  int64_t* (*whole)(SamplingOptions&);  ///< of the two, the one that is not null has the value
  bool cold;                            ///< counts at a temperature of 0, too
  bool (*good)(double);
  std::string_view rule;  ///< "the temperature must be 0 or more"
  std::string_view help;  ///< what it does, for people

  double value(const SamplingOptions& options) const;
};

/// In the order in which people are told of them.
std::span<const SamplingField> sampling_fields();

}  // namespace nibble
