// What is said where a signal asked the work to stop.
#pragma once

#include "nibble/core/error.h"

namespace nibble {

/// Error{io} with exit code 128 + signal.
Error stopped_by(int signal);

}  // namespace nibble
