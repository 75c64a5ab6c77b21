// A loop over independent things, spread over threads, whose bodies may throw.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>

namespace nibble {

/// f(i) for 0 <= i < count, in any order, on at most `threads` threads; inside another such loop or
/// a team on the calling thread alone. Where f throws, none is begun any more, and when those that
/// were have ended, the error of the lowest i is thrown again: the same one for any number of
/// threads.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& f);

}  // namespace nibble
