// Writing a GGUF v3 file: metadata, tensor infos, data, one tensor in memory at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/format/gguf_type.h"
#include "nibble/quant/weight.h"

namespace nibble {

/// The type that holds weights of a scheme, without loss; nullptr where none does. Groups larger
/// than the type's are cut, each part with the same scale.
const GgufType* gguf_type_of(const QuantScheme& scheme);
/// Of plain weights.
const GgufType* gguf_type_of(DType dtype);
/// Error{unsupported} where gguf_type_of() finds none: it names those there are.
void require_gguf_type(const QuantScheme& scheme);

/// Rows of a weight as a file has them, blocks of `type` one behind the other. Error{unsupported}
/// where scales do not fit the type (bf16 or f32 that are no halves).
std::vector<std::byte> gguf_rows(const QuantizedTensor& q, const GgufType& type);

class GgufWriter {
 public:
  void add(std::string_view key, std::string_view text);
  void add(std::string_view key, bool value);
  void add_u32(std::string_view key, int64_t value);
  void add_f32(std::string_view key, double value);
  void add(std::string_view key, std::span<const std::string> texts);
  void add(std::string_view key, std::span<const int32_t> values);
  void add(std::string_view key, std::span<const float> values);

  /// `make` gives the bytes of the data in pieces, in order, when its turn comes.
  using Piece = std::function<void(std::span<const std::byte>)>;
  void add_tensor(std::string name, const GgufType& type, const Shape& shape,
                  std::function<void(const Piece&)> make);

  /// Of the file that write() makes.
  int64_t bytes() const;
  /// Writes it; `path` appears complete or not at all. `check` may read it back (from another
  /// path) before it appears, and stop that by an Error. Returns the bytes of the file.
  int64_t write(const std::string& path,
                const std::function<void(const std::string& written)>& check = {}) const;

 private:
  struct Entry {
    std::string name;
    const GgufType* type;
    Shape shape;
    int64_t bytes;
    std::function<void(const Piece&)> make;
  };
  void key(std::string_view name, uint32_t type);
  void string(std::string_view text);
  template <class T>
  void put(T value);
  template <class T>
  void put_array(std::string_view name, uint32_t type, std::span<const T> values);
  std::string header() const;
  int64_t data_bytes() const;

  std::string metadata_;
  int64_t keys_ = 0;
  std::vector<Entry> tensors_;
};

}  // namespace nibble
