// A llama2.c .bin file as a model.
#pragma once

#include <string>

#include "nibble/model/model_folder.h"

namespace nibble {

/// A Llama with what llama2.c has built in (RMSNorm of 1e-5, rope_theta 10000). No tokenizer: that
/// is a file of its own. Errors as open_llama2c().
ModelFolder open_llama2c_model(const std::string& path);

}  // namespace nibble
