#include <cmath>
#include <string_view>

#include "nibble/core/error.h"
#include "nibble/eval/generation_config.h"

// generation_config.json: what comes out of one can be sampled with, or it is an Error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto defaults = nibble::parse_generation_config(json);
    for (const auto& value :
         {defaults.temperature, defaults.top_p, defaults.min_p, defaults.repetition_penalty}) {
      if (value && !(std::isfinite(*value) && *value >= 0)) __builtin_trap();
    }
    nibble::SamplingOptions sampling;
    (void)nibble::take_defaults(defaults, {}, sampling);
  } catch (const nibble::Error&) {
  }
  return 0;
}
