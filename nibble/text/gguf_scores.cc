#include "nibble/text/gguf_scores.h"

#include <algorithm>

#include "nibble/text/load.h"
#include "nibble/text/token_type.h"

namespace nibble {
namespace {

std::vector<float> scores_by_first_rank(const std::vector<MergeOfTwo>& merges, size_t tokens) {
  const uint32_t last = merges.empty() ? 0 : merges.back().merge.rank + 1;
  std::vector<float> out(tokens, -static_cast<float>(last));
  for (auto m = merges.rbegin(); m != merges.rend(); ++m) {
    out[static_cast<size_t>(m->merge.id)] = -static_cast<float>(m->merge.rank);
  }
  return out;
}

// Whether a goes before b in one order as in the other; merges to one token go together.
bool same_order(const MergeOfTwo& a, const MergeOfTwo& b, uint32_t rank_a, uint32_t rank_b) {
  if (a.merge.id == b.merge.id) return rank_a == rank_b;
  return a.merge.rank == b.merge.rank ? rank_a == rank_b : rank_a < rank_b;
}

}  // namespace

std::optional<std::vector<float>> scores_from_merges(const BpeParts& parts,
                                                     const std::vector<int32_t>& types) {
  const auto type = [&](int32_t id) { return types[static_cast<size_t>(id)]; };
  std::vector<bool> mergeable(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    mergeable[i] = types[i] == kNormalToken || types[i] == kUserDefinedToken;
  }
  const std::vector<MergeOfTwo> merges = parts.merges.by_rank();
  std::vector<float> scores = scores_by_first_rank(merges, types.size());
  BpeParts made;
  made.tokens = parts.tokens;
  merges_from_scores(scores, mergeable, made);

  const MergeOfTwo* before = nullptr;
  uint32_t rank_before = 0;
  for (const MergeOfTwo& merge : merges) {
    if (!mergeable[static_cast<size_t>(merge.merge.id)]) continue;
    const Merge other = made.merges.find(merge.left, merge.right);
    if (other.id != merge.merge.id) return std::nullopt;
    if (before != nullptr && !same_order(*before, merge, rank_before, other.rank)) {
      return std::nullopt;
    }
    before = &merge, rank_before = other.rank;
  }
  for (const MergeOfTwo& more : made.merges.by_rank()) {
    if (parts.merges.find(more.left, more.right).id >= 0) continue;
    const bool whole = type(more.merge.id) == kUserDefinedToken &&
                       parts.tokens.text(more.merge.id).find(kSpaceMark) == std::string_view::npos;
    if (!whole) return std::nullopt;
  }
  return scores;
}

}  // namespace nibble
