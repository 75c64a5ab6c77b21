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

const Architecture& gguf_architecture(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "general.architecture";
  const std::string name = metadata.string(kKey);
  std::vector<std::string_view> known;
  for (Getter get : kArchitectures) {
    const GgufArchitecture* of = get().in_gguf;
    if (of == nullptr) continue;
    if (of->name == name && (of->is_it == nullptr || of->is_it(metadata))) return get();
    if (known.empty() || known.back() != of->name) known.push_back(of->name);
  }
  throw unsupported(fmt::format("{} is not one that nibble opens (it opens {})", in_quotes(name),
                                fmt::join(known, ", ")))
      .at("key " + in_quotes(kKey));
}

}  // namespace nibble
