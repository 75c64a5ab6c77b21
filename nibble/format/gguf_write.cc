#include "nibble/format/gguf_write.h"

#include <cstring>

#include "nibble/core/atomic_file.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/format/gguf_metadata.h"

namespace nibble {
namespace {

constexpr int64_t kWrittenAlignment = 32;
constexpr uint32_t kWrittenVersion = 3;

int64_t aligned(int64_t bytes) { return ceil_div(bytes, kWrittenAlignment) * kWrittenAlignment; }

uint32_t id_of(GgufValueType type) { return static_cast<uint32_t>(type); }

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_string(std::string& out, std::string_view text) {
  append(out, static_cast<uint64_t>(text.size()));
  out.append(text);
}

}  // namespace

template <class T>
void GgufWriter::put(T value) {
  append(metadata_, value);
}

void GgufWriter::string(std::string_view text) { append_string(metadata_, text); }

void GgufWriter::key(std::string_view name, uint32_t type) {
  string(name);
  put(type);
  ++keys_;
}

template <class T>
void GgufWriter::put_array(std::string_view name, uint32_t type, std::span<const T> values) {
  key(name, id_of(GgufValueType::array));
  put(type);
  put(static_cast<uint64_t>(values.size()));
  for (const T& v : values) {
    if constexpr (std::is_same_v<T, std::string>)
      string(v);
    else
      put(v);
  }
}

void GgufWriter::add(std::string_view name, std::string_view text) {
  key(name, id_of(GgufValueType::string));
  string(text);
}
void GgufWriter::add(std::string_view name, bool value) {
  key(name, id_of(GgufValueType::boolean));
  put(static_cast<uint8_t>(value));
}
void GgufWriter::add_u32(std::string_view name, int64_t value) {
  NIBBLE_CHECK(value >= 0 && value <= UINT32_MAX);
  key(name, id_of(GgufValueType::u32));
  put(static_cast<uint32_t>(value));
}
void GgufWriter::add_f32(std::string_view name, double value) {
  key(name, id_of(GgufValueType::f32));
  put(static_cast<float>(value));
}
void GgufWriter::add(std::string_view name, std::span<const std::string> texts) {
  put_array(name, id_of(GgufValueType::string), texts);
}
void GgufWriter::add(std::string_view name, std::span<const int32_t> values) {
  put_array(name, id_of(GgufValueType::i32), values);
}
void GgufWriter::add(std::string_view name, std::span<const float> values) {
  put_array(name, id_of(GgufValueType::f32), values);
}

void GgufWriter::add_tensor(std::string name, const GgufType& type, const Shape& shape,
                            std::function<void(const Piece&)> make) {
  const int64_t bytes = shape.elements() / type.elements * type.bytes;
  tensors_.push_back({std::move(name), &type, shape, bytes, std::move(make)});
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  append(out, kWrittenVersion);
  append(out, static_cast<uint64_t>(tensors_.size()));
  append(out, static_cast<uint64_t>(keys_));
  out += metadata_;
  int64_t offset = 0;
  for (const Entry& t : tensors_) {
    append_string(out, t.name);
    append(out, static_cast<uint32_t>(t.shape.rank()));
    for (size_t i = t.shape.rank(); i > 0; --i) append(out, static_cast<uint64_t>(t.shape[i - 1]));
    append(out, t.type->id);
    append(out, static_cast<uint64_t>(offset));
    offset += aligned(t.bytes);
  }
  out.resize(static_cast<size_t>(aligned(std::ssize(out))));
  return out;
}

int64_t GgufWriter::data_bytes() const {
  int64_t out = 0;
  for (const Entry& t : tensors_) out += aligned(t.bytes);
  return out;
}

int64_t GgufWriter::bytes() const { return std::ssize(header()) + data_bytes(); }

int64_t GgufWriter::write(const std::string& path,
                          const std::function<void(const std::string& written)>& check) const {
  const std::string first = header();
  const int64_t bytes = std::ssize(first) + data_bytes();
  AtomicFile file(path, bytes);
  file.write(first);
  for (const Entry& t : tensors_) {
    int64_t written = 0;
    t.make([&](std::span<const std::byte> piece) {
      file.write(piece);
      written += std::ssize(piece);
    });
    NIBBLE_CHECK(written == t.bytes);
    file.write(std::string(static_cast<size_t>(aligned(written) - written), '\0'));
  }
  if (check && !file.unfinished().empty()) check(file.unfinished());
  file.commit();
  return bytes;
}

}  // namespace nibble
