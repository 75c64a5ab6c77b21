// The header of a safetensors file: parsed into 32 bytes a tensor and judged. Inside
// nibble/format only.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/tensor.h"

namespace nibble::safetensors {

inline constexpr uint64_t kMaxHeader = 100'000'000;  ///< bytes; the format's own limit
inline constexpr size_t kMaxName = 4096;             ///< bytes; nibble's limit
inline constexpr size_t kMaxRank = 8;                ///< nibble's limit
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// One tensor; `begin` and `end` count from the first byte behind the header.
struct Entry {
  uint64_t begin = 0, end = 0;
  uint32_t name = 0, name_size = 0;  ///< in Header::names
  uint32_t dims = 0;                 ///< in Header::dims
  uint8_t rank = 0;
  DType dtype = DType::f32;
};

struct Header {
  std::string names;           ///< all names behind each other
  std::vector<int64_t> dims;   ///< all shapes behind each other
  std::vector<Entry> entries;  ///< in the order of their data once check_layout() is through

  std::string_view name(const Entry& e) const {
    return std::string_view(names).substr(e.name, e.name_size);
  }
  Shape shape(const Entry& e) const;
};

/// Error{corrupt} or Error{unsupported} with the tensor's name, or the byte offset in the header.
Header parse_header(std::string_view json);

/// Sorts the entries by their data and refuses holes, overlaps, bytes that no tensor owns and
/// tensors that end behind the `data_bytes` bytes which follow the header.
void check_layout(Header& header, uint64_t data_bytes);

/// `tensor "NAME"`, for errors.
std::string at_tensor(std::string_view name);

/// Refuses names that are empty, longer than kMaxName or hold a NUL; for reading and writing.
void check_name(std::string_view name);

}  // namespace nibble::safetensors
