#include "nibble/core/byte_reader.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "nibble/core/error.h"

namespace nibble {
namespace {

static_assert(std::endian::native == std::endian::little,
              "nibble reads and writes little-endian files in place");

template <class T>
T load(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

}  // namespace

std::span<const std::byte> ByteReader::take(uint64_t count, std::string_view what) {
  if (count > left()) {
    throw corrupt(
        fmt::format("{} needs {} bytes, {} left (incomplete download?)", what, count, left()))
        .at(fmt::format("offset {}", offset_));
  }
  const auto taken = bytes_.subspan(offset_, static_cast<size_t>(count));
  offset_ += taken.size();
  return taken;
}

void ByteReader::check_count(uint64_t count, uint64_t minimum_bytes, std::string_view what) const {
  NIBBLE_CHECK(minimum_bytes > 0);
  const uint64_t most = left() / minimum_bytes;
  if (count <= most) return;
  throw corrupt(fmt::format("{}: {} of them, but the {} bytes left hold at most {}", what, count,
                            left(), most))
      .at(fmt::format("offset {}", offset_));
}

uint8_t ByteReader::u8(std::string_view what) { return load<uint8_t>(take(1, what)); }
uint32_t ByteReader::u32(std::string_view what) { return load<uint32_t>(take(4, what)); }
uint64_t ByteReader::u64(std::string_view what) { return load<uint64_t>(take(8, what)); }
int32_t ByteReader::i32(std::string_view what) { return load<int32_t>(take(4, what)); }
float ByteReader::f32(std::string_view what) { return load<float>(take(4, what)); }

uint32_t ByteReader::u32_big_endian(std::string_view what) {
  return __builtin_bswap32(load<uint32_t>(take(4, what)));
}

}  // namespace nibble
