#include "nibble/core/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace nibble {
namespace {

struct FreeState {
  void operator()(XXH3_state_t* s) const { XXH3_freeState(s); }
};

std::string spelled(const XXH128_hash_t& h) {
  return fmt::format("xxh3:{:016x}{:016x}", h.high64, h.low64);
}

}  // namespace

std::string bytes_hash(std::string_view bytes) {
  return spelled(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string content_hash(const TensorSource& source) {
  const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
  NIBBLE_CHECK(state != nullptr);
  XXH3_128bits_reset(state.get());
  std::vector<TensorInfo> infos = source.list();
  std::sort(infos.begin(), infos.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const TensorInfo& i : infos) {
    const std::string head =
        fmt::format("{}\n{}\n{}\n", i.name, to_string(i.dtype), i.shape.to_string());
    XXH3_128bits_update(state.get(), head.data(), head.size());
    const Tensor t = source.get(i.name);
    XXH3_128bits_update(state.get(), t.raw(), t.bytes());
    source.release(i.name);
  }
  return spelled(XXH3_128bits_digest(state.get()));
}

}  // namespace nibble
