// The older form of an importance matrix: no magic, numbers and names one behind the other.
#include <fmt/format.h>

#include <cstring>

#include "nibble/core/byte_reader.h"
#include "nibble/core/error.h"
#include "nibble/format/importance_file.h"

namespace nibble {
namespace {

int32_t not_negative(ByteReader& in, std::string_view what) {
  const size_t offset = in.offset();
  const int32_t n = in.i32(what);
  if (n >= 0) return n;
  throw corrupt(fmt::format("{}: expected 0 or more, found {}", what, n))
      .at(fmt::format("offset {}", offset));
}

// The number of things that take at least so many bytes each, and that are there.
uint64_t number_of(ByteReader& in, uint64_t least_bytes, std::string_view what) {
  const auto n = static_cast<uint64_t>(not_negative(in, what));
  in.check_count(n, least_bytes, what);
  return n;
}

std::string counted_text(ByteReader& in, std::string_view what) {
  const auto bytes = in.take(number_of(in, 1, what), what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Of no chunks the values are means as they are (as llama-quantize has it).
ImportanceEntry entry_of(ByteReader& in) {
  const int32_t chunks = not_negative(in, "the chunks of an entry");
  ImportanceEntry out;
  out.counts = {chunks == 0 ? 1.0 : static_cast<double>(chunks)};
  out.sums.resize(number_of(in, sizeof(float), "the values of an entry"));
  const auto bytes = in.take(out.sums.size() * sizeof(float), "the values of an entry");
  if (!bytes.empty()) std::memcpy(out.sums.data(), bytes.data(), bytes.size());
  return out;
}

}  // namespace

ImportanceFile parse_importance_dat(std::span<const std::byte> bytes) {
  constexpr uint64_t kLeastEntry = 3 * sizeof(int32_t);
  ByteReader in(bytes);
  ImportanceFile out;
  out.counts_rows = false;
  const uint64_t entries = number_of(in, kLeastEntry, "the number of entries");
  for (uint64_t i = 0; i < entries; ++i) {
    const std::string name = counted_text(in, "the name of an entry");
    if (!out.entries.emplace(name, entry_of(in)).second)
      throw corrupt("stands there twice").at("entry " + in_quotes(name));
  }
  if (in.left() == 0) return out;
  out.chunks = not_negative(in, "the chunks of all");
  if (in.left() > 0) counted_text(in, "the name of the text");
  if (in.left() > 0)
    throw corrupt(fmt::format("{} bytes behind the end", in.left()))
        .at(fmt::format("offset {}", in.offset()));
  return out;
}

}  // namespace nibble
