// Round to nearest for the types with a table: the scales are chosen from the largest magnitude of
// each group, as the type has it (number_*.cc), then every weight takes the code whose value is
// nearest to w / scale.
#pragma once

#include <string_view>

#include "nibble/quant/rtn.h"

namespace nibble {

/// `w` is f32 [n, k] without NaN or infinity; the scheme has a table and fits k. Error{corrupt}
/// where a scale, or the largest weight it stands for, does not fit its type.
QuantizedTensor quantize_rtn_table(const Tensor& w, const QuantScheme& scheme,
                                   const RtnOptions& options, std::string_view name);

}  // namespace nibble
