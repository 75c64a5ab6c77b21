// The numbers of a language model that was measured, and the tables made of them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nibble/eval/measurement.h"
#include "nibble/report/fields.h"

namespace nibble {

using ModelRow = Beside<Measurement>;

/// All that are one number or word; what write_measurement_fields() has besides is lists.
std::span<const Field<ModelRow>> model_fields();

/// The first model is the baseline, whose columns of differences have "-".
inline std::string model_columns(const std::vector<Measurement>& models,
                                 const std::vector<FieldColumn>& columns, int width) {
  return fields_table(model_fields(), columns, beside_the_first(models), width);
}

}  // namespace nibble
