// A GGUF v3 (or v2) file, or a set of split ones, opened: metadata and where the tensors lie
// (ggml's docs/gguf.md and gguf.cpp, read 2026-08; docs/formats/gguf.md).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/mapped_file.h"
#include "nibble/format/gguf_metadata.h"
#include "nibble/format/gguf_type.h"
#include "nibble/quant/weight.h"

namespace nibble {

struct GgufTensor {
  std::string name;
  const GgufType* type = nullptr;
  Shape shape;  ///< outermost first, as everywhere in nibble: a matrix is [outputs, inputs]
  std::shared_ptr<const MappedFile> file;
  size_t offset = 0, bytes = 0;  ///< in that file

  /// Bytes of one row: the elements of the innermost extent.
  size_t row_bytes() const;
};

class GgufFile {
 public:
  /// Reads the headers of a file, or of all parts of the set that it belongs to (by its name,
  /// "-00001-of-00003.gguf"). Every rule of the format is checked but whether the data are all
  /// there. Errors name the file and the key or tensor.
  static GgufFile open(const std::string& path);

  const GgufMetadata& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find(std::string_view name) const;
  const GgufTensor& require(std::string_view name) const;  ///< Error{not_found} naming it
  /// Error{corrupt} naming the first tensor whose data the file does not hold, and how many bytes
  /// are missing of the whole.
  void require_data() const;
  int64_t file_bytes() const;
  size_t parts() const { return files_.size(); }
  uint64_t version() const { return version_; }

 private:
  void add_part(const std::string& path, bool first);
  void open_other_parts(const std::string& path, bool asked_for_another);

  std::vector<std::shared_ptr<const MappedFile>> files_;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
  uint64_t version_ = 3;
};

/// True where the file begins as GGUF does.
bool is_gguf(const std::string& path);

/// Which rows of a tensor make a weight.
struct GgufRows {
  int64_t begin = 0, count = 0;
  /// > 0: rows lie in pairs, those of the halves of a head of this size side by side (see
  /// paired_rows.h), and are put in the order of halves.
  int64_t paired_head = 0;
};

/// Rows of a tensor as they are stored, packed; plain ones in place where they are in order. The
/// shape is [rows, columns], or [rows] for a vector, whose elements are its rows. The rows are the
/// tensor's, and the file holds its data (require_data()). Errors name the tensor.
Weight gguf_weight(const GgufTensor& tensor, const GgufRows& rows, int threads = 1);

}  // namespace nibble
