// llama.cpp's importance matrices: of each weight the sums of its inputs' squares, as llama-imatrix
// writes them. The GGUF file (since 2025) and the older one (imatrix.dat);
// tools/imatrix/imatrix.cpp and common/imatrix-loader.cpp, read 2026-11; docs/methods/imatrix.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nibble {

/// Of one weight as GGUF names it; of stacked experts a row each, one behind the other.
struct ImportanceEntry {
  std::vector<float> sums;     ///< of squares, finite and not negative
  std::vector<double> counts;  ///< what they are sums over: one for all, or one for each row
};

struct ImportanceFile {
  std::map<std::string, ImportanceEntry, std::less<>> entries;
  /// Counts are rows that were seen; of the older form they are chunks of a length that it does not
  /// say.
  bool counts_rows = true;
  std::optional<int64_t> chunks, chunk_size;  ///< as the file says, 0 or more
};

/// Reads either form; it is GGUF where it begins so. Error{corrupt} names the entry or tensor.
ImportanceFile read_importance(const std::string& path);

/// The older form: i32 entries, of each i32 length, name, i32 chunks, i32 values, f32 values (the
/// means of squares times `chunks`); then, or not, i32 chunks in all; then, or not, i32 length and
/// the name of the text.
ImportanceFile parse_importance_dat(std::span<const std::byte> bytes);

}  // namespace nibble
