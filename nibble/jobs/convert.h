// A model written in another format.
#pragma once

#include <string>

#include "nibble/compress/convert.h"

namespace nibble {

struct ConvertJob {
  std::string model;  ///< as resolve_model() takes it
  std::string out;    ///< folder to make, or a file NAME.gguf
  ConvertOptions options;
};

/// convert_model().
ConvertResult convert(const ConvertJob& job, const Exec& exec);

}  // namespace nibble
