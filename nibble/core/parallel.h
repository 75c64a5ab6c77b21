// A loop over independent things, spread over threads, whose bodies may throw.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>

namespace nibble {

/// f(i) for 0 <= i < count, in any order. When all have ended, the error of the lowest i that threw
/// one, if any did, is thrown again.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& f);

}  // namespace nibble
