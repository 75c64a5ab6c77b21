#include "nibble/model/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace nibble {

#define NIBBLE_ARCHITECTURE(name)     \
  namespace name {                    \
  const Architecture& architecture(); \
  }
#include "nibble/model/list.inc"
#undef NIBBLE_ARCHITECTURE

namespace {

using Getter = const Architecture& (*)();
constexpr Getter kArchitectures[] = {
#define NIBBLE_ARCHITECTURE(name) name::architecture,
#include "nibble/model/list.inc"
#undef NIBBLE_ARCHITECTURE
};

}  // namespace

std::vector<std::string_view> architecture_names() {
  std::vector<std::string_view> names;
  for (Getter get : kArchitectures) names.push_back(get().model_type);
  return names;
}

const Architecture& architecture(std::string_view model_type) {
  for (Getter get : kArchitectures) {
    if (get().model_type == model_type) return get();
  }
  throw unsupported(fmt::format("model_type {} is not one that nibble knows (it knows {}, mlp)",
                                in_quotes(model_type), fmt::join(architecture_names(), ", ")))
      .at("key \"model_type\"");
}

}  // namespace nibble
