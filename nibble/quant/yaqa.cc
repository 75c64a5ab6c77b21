// YAQA (Tseng, Sun, De Sa 2025, "Model-Preserving Adaptive Rounding"): gptq that knows what the
// whole model makes of an error; docs/methods/yaqa.md.
#include "nibble/quant/method.h"
#include "nibble/quant/second_order.h"

namespace nibble {

Method yaqa_method(std::string_view name, std::string_view summary) {
  return {name, summary, Calibration::fisher, quantize_second_order, true};
}

}  // namespace nibble
