#include "nibble/nn/embedding.h"

#include <vector>

namespace nibble {

void Embedding::add(int64_t id, std::span<float> out) const {
  std::vector<float> row(out.size());
  lookup(id, row);
  for (size_t i = 0; i < out.size(); ++i) out[i] += row[i];
}

}  // namespace nibble
