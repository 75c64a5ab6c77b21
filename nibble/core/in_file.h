// Saying in which file an error lies, from the outside.
#pragma once

#include <string_view>

#include "nibble/core/error.h"

namespace nibble {

/// Runs f; an Error that names no file yet is given this one on its way out.
template <class F>
auto naming_file(std::string_view path, F f) {
  try {
    return f();
  } catch (Error& e) {
    e.set_file(path);
    throw;
  }
}

}  // namespace nibble
