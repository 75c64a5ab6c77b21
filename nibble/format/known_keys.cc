#include "nibble/format/known_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {

bool is_empty(const JsonFields& f, std::string_view path) {
  if (!f.contains(path) || f.is_null(path)) return true;
  const std::string shown = f.shown(path);
  return (shown == "an object" || shown == "an array") && f.keys(path).empty();
}

void require_known_keys(const JsonFields& f, const std::string& path,
                        std::span<const KnownKey> known) {
  for (const std::string& key : f.keys(path)) {
    const std::string whole = path + '.' + key;
    const auto row =
        std::find_if(known.begin(), known.end(), [&](const KnownKey& k) { return k.name == key; });
    if (row != known.end() && row->changes.empty()) continue;
    if (is_empty(f, whole)) continue;
    const std::string reason =
        row == known.end()
            ? "nibble does not know this key, and it may change what the model computes"
            : fmt::format("changes {}, which nibble does not do", row->changes);
    throw unsupported(reason).at("key " + in_quotes(whole));
  }
}

}  // namespace nibble
