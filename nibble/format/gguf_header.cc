#include "nibble/format/gguf_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "nibble/core/byte_reader.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/utf8.h"

namespace nibble {
namespace {

constexpr uint64_t kLongestString = uint64_t{1} << 30, kMostItems = uint64_t{1} << 30;
constexpr size_t kLongestTensorName = 64;  // of a tensor, in ggml the zero behind it included
constexpr uint32_t kMostDims = 4;
constexpr int64_t kAlignment = 32, kLargestAlignment = 65536;
// Far above any model's, low enough that what is kept of a hostile file is moderate.
constexpr uint64_t kMostEntries = 1 << 18, kMostTensors = 1 << 17;
// Of a key with its value, of a tensor's record.
constexpr uint64_t kLeastEntry = 8 + 4 + 1, kLeastTensor = 8 + 4 + 4 + 8;

uint32_t read_version(ByteReader& in) {
  const auto magic = in.take(4, "the magic \"GGUF\"");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0)
    throw corrupt("the file does not begin with \"GGUF\"").at("offset 0");
  const uint32_t version = in.u32("version");
  if (version == 2 || version == 3) return version;
  const uint32_t swapped = __builtin_bswap32(version);
  if (swapped >= 1 && swapped <= 3) {
    throw unsupported(
        "the file is big-endian; convert it to little-endian (gguf's "
        "gguf_convert_endian.py)")
        .at("offset 4");
  }
  if (version == 1)
    throw unsupported("version 1 of GGUF is not read: convert the model again").at("offset 4");
  throw unsupported(fmt::format("version {} of GGUF; 2 and 3 can be read", version)).at("offset 4");
}

std::string take_string(ByteReader& in, std::string_view what) {
  const uint64_t length = in.u64(what);
  if (length > kLongestString)
    throw corrupt(fmt::format("{} of {} bytes, limit {}", what, length, kLongestString))
        .at(fmt::format("offset {}", in.offset() - 8));
  const auto bytes = in.take(length, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// An error of the reader says a byte's place: it is told behind what lies there.
Error lying_at(const Error& e, std::string_view where) {
  const std::string place = e.where().empty() ? "" : e.where() + ": ";
  return Error(e.kind(), place + e.reason()).at(where);
}

GgufValueType read_type(ByteReader& in) {
  const uint32_t type = in.u32("the type of a value");
  if (type <= static_cast<uint32_t>(GgufValueType::f64)) return static_cast<GgufValueType>(type);
  throw corrupt(fmt::format("type {} of a value is unknown (0 to 12 are)", type));
}

// One or `count` values of a type as they lie.
std::span<const std::byte> take_values(ByteReader& in, GgufValueType type, uint64_t count,
                                       std::span<const std::byte> file) {
  in.check_count(count, least_bytes(type), "values");
  const size_t begin = in.offset();
  if (type == GgufValueType::string) {
    for (uint64_t i = 0; i < count; ++i) take_string(in, "a string");
  } else {
    in.take(count * least_bytes(type), "values");
  }
  return file.subspan(begin, in.offset() - begin);
}

GgufValue read_value(ByteReader& in, std::span<const std::byte> file) {
  GgufValue out;
  out.type = read_type(in);
  out.is_array = out.type == GgufValueType::array;
  if (out.is_array) {
    out.type = read_type(in);
    if (out.type == GgufValueType::array) throw unsupported("an array of arrays");
    out.count = in.u64("the length of an array");
    if (out.count > kMostItems)
      throw corrupt(fmt::format("an array of {} items, limit {}", out.count, kMostItems));
  }
  out.bytes = take_values(in, out.type, out.count, file);
  if (out.type == GgufValueType::boolean) {
    const auto bad = std::find_if(out.bytes.begin(), out.bytes.end(),
                                  [](std::byte b) { return b > std::byte{1}; });
    if (bad != out.bytes.end()) throw corrupt("a bool that is neither 0 nor 1");
  }
  // A string alone: what its length says.
  if (!out.is_array && out.type == GgufValueType::string) out.bytes = out.bytes.subspan(8);
  return out;
}

void read_entry(ByteReader& in, uint64_t index, std::span<const std::byte> file,
                GgufMetadata& out) {
  std::string key;
  try {
    key = take_string(in, "key");
    if (key.empty()) throw corrupt("the key is empty");
    if (key.find('\0') != std::string::npos) throw corrupt("the key holds a zero byte");
    if (!is_utf8(key)) throw corrupt("the key is not UTF-8");
  } catch (const Error& e) {
    throw lying_at(e, fmt::format("key {}", index));
  }
  try {
    if (!out.add(key, read_value(in, file))) throw corrupt("stands in the file twice");
  } catch (const Error& e) {
    throw lying_at(e, "key " + in_quotes(key));
  }
}

size_t alignment_of(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "general.alignment";
  const GgufValue* found = metadata.find(kKey);
  if (found == nullptr) return kAlignment;
  if (found->is_array || found->type != GgufValueType::u32)
    throw corrupt("expected a u32").at("key " + in_quotes(kKey));
  const int64_t value = metadata.integer(kKey);
  if (value >= 1 && value <= kLargestAlignment && std::has_single_bit(static_cast<uint64_t>(value)))
    return static_cast<size_t>(value);
  throw corrupt(
      fmt::format("must be a power of two of at most {} (got {})", kLargestAlignment, value))
      .at("key " + in_quotes(kKey));
}

Error size_overflow() { return corrupt("the size of its data overflows"); }

// Bytes of the elements, whose extents are each below 2^63.
size_t data_bytes(const GgufType& type, const std::vector<int64_t>& innermost_first) {
  int64_t count = 1;
  for (const int64_t n : innermost_first) {
    const auto product = checked_mul(count, n);
    if (!product) throw size_overflow();
    count = *product;
  }
  const int64_t columns = innermost_first.empty() ? 1 : innermost_first[0];
  if (columns % type.elements != 0) {
    throw corrupt(fmt::format("rows of {} elements are no whole blocks of {} ({})", columns,
                              type.elements, type.name));
  }
  const auto bytes = checked_mul(count / type.elements, type.bytes);
  if (!bytes) throw size_overflow();
  return static_cast<size_t>(*bytes);
}

const GgufType& type_of(uint32_t id) {
  if (const GgufType* type = find_gguf_type(id)) return *type;
  throw corrupt(fmt::format("type {} is none of GGUF's", id));
}

GgufTensorInfo read_tensor(ByteReader& in, uint64_t index) {
  GgufTensorInfo out;
  try {
    out.name = take_string(in, "the name of a tensor");
    if (out.name.size() >= kLongestTensorName)
      throw corrupt(
          fmt::format("a name of {} bytes, limit {}", out.name.size(), kLongestTensorName - 1));
    if (out.name.empty() || out.name.find('\0') != std::string::npos || !is_utf8(out.name))
      throw corrupt("the name is empty, holds a zero byte or is not UTF-8");
  } catch (const Error& e) {
    throw lying_at(e, fmt::format("tensor {}", index));
  }
  try {
    const uint32_t rank = in.u32("the number of extents");
    if (rank > kMostDims)
      throw corrupt(fmt::format("{} extents, at most {} can be", rank, kMostDims));
    std::vector<int64_t> extents;
    for (uint32_t i = 0; i < rank; ++i) {
      const uint64_t n = in.u64("an extent");
      if (n > INT64_MAX) throw corrupt(fmt::format("extent {} is {}", i, n));
      extents.push_back(static_cast<int64_t>(n));
    }
    out.type = &type_of(in.u32("type"));
    out.bytes = data_bytes(*out.type, extents);
    std::reverse(extents.begin(), extents.end());
    out.shape = Shape(std::move(extents));
    out.offset = static_cast<size_t>(in.u64("offset"));
  } catch (const Error& e) {
    throw lying_at(e, "tensor " + in_quotes(out.name));
  }
  return out;
}

// Where each begins: behind the one before, filled up to the alignment. `start` is that of the
// data.
void place(std::vector<GgufTensorInfo>& tensors, size_t start, size_t alignment) {
  constexpr size_t kMost = size_t{1} << 60;
  size_t next = 0;
  for (GgufTensorInfo& t : tensors) {
    if (t.offset != next) {
      throw corrupt(fmt::format("its data begin at byte {} of the data, expected {} (tensors lie "
                                "one behind the other)",
                                t.offset, next))
          .at("tensor " + in_quotes(t.name));
    }
    t.offset += start;
    if (t.bytes > kMost || next + t.bytes > kMost)
      throw size_overflow().at("tensor " + in_quotes(t.name));
    next = (next + t.bytes + alignment - 1) / alignment * alignment;
  }
}

void require_different_names(const std::vector<GgufTensorInfo>& tensors) {
  std::unordered_set<std::string_view> seen;
  for (const GgufTensorInfo& t : tensors) {
    if (!seen.insert(t.name).second)
      throw corrupt("stands in the file twice").at("tensor " + in_quotes(t.name));
  }
}

void require_moderate(uint64_t count, uint64_t most, std::string_view what) {
  if (count > most) throw corrupt(fmt::format("{} {}, limit {}", count, what, most));
}

}  // namespace

GgufHeader read_gguf_header(std::span<const std::byte> file) {
  ByteReader in(file);
  GgufHeader out;
  out.version = read_version(in);
  const uint64_t tensors = in.u64("the number of tensors"), entries = in.u64("the number of keys");
  in.check_count(entries, kLeastEntry, "keys");
  in.check_count(tensors, kLeastTensor, "tensors");
  require_moderate(entries, kMostEntries, "keys");
  require_moderate(tensors, kMostTensors, "tensors");
  for (uint64_t i = 0; i < entries; ++i) read_entry(in, i, file, out.metadata);
  const size_t alignment = alignment_of(out.metadata);
  in.check_count(tensors, kLeastTensor, "tensors");
  for (uint64_t i = 0; i < tensors; ++i) out.tensors.push_back(read_tensor(in, i));
  require_different_names(out.tensors);
  place(out.tensors, (in.offset() + alignment - 1) / alignment * alignment, alignment);
  return out;
}

}  // namespace nibble
