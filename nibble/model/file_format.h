// FileFormat: a way in which whole models lie on disk. Each is described by the functions of a
// namespace and has a line in format_list.inc; use them through open_model().
#pragma once

#include <string>
#include <string_view>

#include "nibble/model/model.h"

namespace nibble {

struct FileFormat {
  std::string_view what;  ///< for messages: "a .bin of llama2.c"
  /// By the kind and the name of a path that exists: what lies in it is open()'s to check.
  bool (*is_model)(const std::string& path);
  /// Errors name the file and the key or tensor; everything the config promises is checked to be
  /// there.
  Model (*open)(const std::string& path);
};

/// Of each format, as its row has them.
#define NIBBLE_FORMAT(name, what)         \
  namespace name {                        \
  bool is_model(const std::string& path); \
  Model open(const std::string& path);    \
  }
#include "nibble/model/format_list.inc"
#undef NIBBLE_FORMAT

}  // namespace nibble
