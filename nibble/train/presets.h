// Ready-made training runs.
#pragma once

#include <string_view>
#include <vector>

#include "nibble/train/trainer.h"

namespace nibble {

/// micro: the 4,192 weights of microgpt.py. demo: the same block 48 wide, about 31,000 weights.
/// char: 4 layers, 128 wide, context 64, for running text. config.vocab_size is left 0: it comes
/// from the data. Error{invalid_argument} lists the names.
TrainOptions preset(std::string_view name);
std::vector<std::string_view> preset_names();

}  // namespace nibble
