// Saying in which file an error lies.
#pragma once

#include <string>

#include "nibble/core/error.h"

namespace nibble {

/// Runs f and says in which file its errors lie, where they do not say it themselves.
template <class F>
auto in_file(const std::string& path, F f) {
  try {
    return f();
  } catch (Error& e) {
    e.set_file(path);
    throw;
  }
}

}  // namespace nibble
