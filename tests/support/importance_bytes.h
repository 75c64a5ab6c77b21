// The bytes of importance matrices in both forms, as llama-imatrix writes them (tools/imatrix,
// imatrix.cpp: save_imatrix, save_imatrix_legacy).
#pragma once

#include <string>
#include <vector>

#include "tests/support/gguf_bytes.h"

namespace nibble::test {

struct ImportanceRow {
  std::string name;
  std::vector<float> sums, counts;  ///< of the older form the first count alone: its chunks
};

/// Up to the end of the entries.
inline std::string importance_dat_entries(const std::vector<ImportanceRow>& rows) {
  std::string out = little(static_cast<int32_t>(rows.size()));
  for (const ImportanceRow& r : rows) {
    out += little(static_cast<int32_t>(r.name.size())) + r.name;
    out += little(static_cast<int32_t>(r.counts.at(0)));
    out += little(static_cast<int32_t>(r.sums.size())) + bytes_of_all(r.sums);
  }
  return out;
}

inline std::string importance_dat(const std::vector<ImportanceRow>& rows) {
  const std::string text = "some text.txt";
  return importance_dat_entries(rows) + little(int32_t{7}) +
         little(static_cast<int32_t>(text.size())) + text;
}

inline GgufBytes importance_gguf(const std::vector<ImportanceRow>& rows) {
  GgufBytes out;
  out.string("general.type", "imatrix").strings("imatrix.datasets", {"some text.txt"});
  out.u32("imatrix.chunk_count", 7).u32("imatrix.chunk_size", 512);
  for (const ImportanceRow& r : rows) {
    const uint64_t matrices = r.counts.size();
    std::vector<uint64_t> sums{r.sums.size() / matrices}, counts{1};
    if (matrices > 1) sums.push_back(matrices), counts.push_back(matrices);
    out.f32_tensor(r.name + ".in_sum2", sums, r.sums);
    out.f32_tensor(r.name + ".counts", counts, r.counts);
  }
  return out;
}

}  // namespace nibble::test
