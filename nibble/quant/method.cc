#include "nibble/quant/method.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "nibble/core/error.h"

namespace nibble {

#define NIBBLE_METHOD(name, summary) Method name##_method(std::string_view, std::string_view);
#include "nibble/quant/list.inc"
#undef NIBBLE_METHOD

std::span<const Method> methods() {
  static const Method kMethods[] = {
#define NIBBLE_METHOD(name, summary) name##_method(#name, summary),
#include "nibble/quant/list.inc"
#undef NIBBLE_METHOD
  };
  return kMethods;
}

const Method& method(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Method& m : methods()) {
    if (m.name == name) return m;
    names.push_back(m.name);
  }
  throw invalid_argument(
      fmt::format("unknown method {}; use one of {}", in_quotes(name), fmt::join(names, ", ")));
}

}  // namespace nibble
