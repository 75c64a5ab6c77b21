#include "nibble/train/batch.h"

#include <algorithm>
#include <numeric>

#include "nibble/core/error.h"

namespace nibble {

void Batch::clear() {
  token.clear();
  target.clear();
  position.clear();
  starts.assign(1, 0);
}

int64_t Batch::targets() const {
  return std::count_if(target.begin(), target.end(), [](int32_t id) { return id >= 0; });
}

void Batch::append(std::span<const int32_t> ids) {
  NIBBLE_CHECK(ids.size() >= 2);
  std::transform(ids.begin(), ids.end() - 1, std::back_inserter(token), id_of);
  target.insert(target.end(), ids.begin() + 1, ids.end());
  position.resize(token.size());
  std::iota(position.begin() + starts.back(), position.end(), 0);
  starts.push_back(static_cast<int64_t>(token.size()));
}

std::vector<Chunk> cut_into_chunks(const Batch& batch, int64_t limit) {
  // Fewer rows than this are not worth a gradient buffer of their own.
  constexpr int64_t kMinimumRows = 48;
  const int64_t count = std::clamp<int64_t>(batch.rows() / kMinimumRows, 1, limit);
  std::vector<Chunk> chunks;
  Chunk open;
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    open.end = s + 1;
    const int64_t end_row = batch.starts[static_cast<size_t>(s) + 1];
    open.rows = end_row - open.first_row;
    const int64_t done = static_cast<int64_t>(chunks.size()) + 1;
    if (end_row * count >= batch.rows() * done) {
      chunks.push_back(open);
      open = {open.end, open.end, end_row, 0};
    }
  }
  return chunks;
}

}  // namespace nibble
