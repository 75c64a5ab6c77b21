#include "nibble/format/idx.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>

#include "nibble/core/byte_reader.h"
#include "nibble/core/checked.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/format/recognise.h"

namespace nibble {
namespace {

constexpr int kUnsignedByte = 0x08;
constexpr size_t kMaxRank = 8;
constexpr int64_t kMaxRatio = 1032;  // deflate cannot make more of a byte than that
// Bytes beyond the file's own size that are allocated for elements before it is known that the file
// is sound: MNIST's 47 MB in 10 are read once, a bomb twice.
constexpr int64_t kUnproven = int64_t{40} << 20;

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

// A gzip stream that gives as many bytes as it is asked for.
class Inflater {
 public:
  explicit Inflater(std::span<const std::byte> input) : input_(input) {
    constexpr int kGzip = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, kGzip) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Fills `out` from the stream; the number of bytes it had.
  size_t read(std::span<uint8_t> out) {
    size_t have = 0;
    while (have < out.size() && !ended_) {
      const size_t chunk = std::min<size_t>(out.size() - have, kChunk);
      stream_.next_out = out.data() + have;
      stream_.avail_out = static_cast<uInt>(chunk);
      step();
      have += chunk - stream_.avail_out;
    }
    return have;
  }
  /// Reads on to the end, where the checksum is compared; true where bytes were left to give.
  bool has_more() {
    uint8_t one;
    return read({&one, 1}) != 0;
  }
  size_t unread() const { return input_.size() - taken_ + stream_.avail_in; }

 private:
  static constexpr size_t kChunk = size_t{1} << 30;

  void step() {
    if (stream_.avail_in == 0) {
      const auto part = input_.subspan(taken_, std::min(kChunk, input_.size() - taken_));
      // zlib's interface is not const-correct; it only reads.
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(part.data()));
      stream_.avail_in = static_cast<uInt>(part.size());
      taken_ += part.size();
    }
    const int result = inflate(&stream_, Z_NO_FLUSH);
    ended_ = result == Z_STREAM_END;
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_BUF_ERROR) throw corrupt("the gzip data end too early (incomplete download?)");
    if (result != Z_OK && !ended_)
      throw corrupt(fmt::format("the gzip data are damaged: {}",
                                stream_.msg != nullptr ? stream_.msg : "bad stream"));
  }

  std::span<const std::byte> input_;
  size_t taken_ = 0;
  z_stream stream_ = {};
  bool ended_ = false;
};

// The extents that the header states; `reader` is then at the first element.
Shape read_idx_shape(ByteReader& reader) {
  const uint32_t magic = reader.u32_big_endian("the magic number");
  const uint32_t type = magic >> 8 & 0xFF, rank = magic & 0xFF;
  if (magic >> 16 != 0)
    throw corrupt(fmt::format("not an IDX file: it begins with 0x{:08x}, expected 0x000008 and the "
                              "number of dimensions",
                              magic))
        .at("offset 0");
  if (type != kUnsignedByte)
    throw unsupported(
        fmt::format("elements of type 0x{:02x}, expected unsigned bytes (0x08)", type))
        .at("offset 2");
  if (rank == 0 || rank > kMaxRank)
    throw corrupt(fmt::format("{} dimensions, expected 1 to {}", rank, kMaxRank)).at("offset 3");
  std::vector<int64_t> dims;
  for (uint32_t i = 0; i < rank; ++i) dims.push_back(reader.u32_big_endian("an extent"));
  return Shape(std::move(dims));
}

[[noreturn]] void wrong_count(const Shape& shape, std::string_view found) {
  throw corrupt(fmt::format("shape {} needs {} bytes of data, the file has {}", shape.to_string(),
                            shape.elements(), found));
}

IdxData read_plain(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  IdxData out{read_idx_shape(reader), {}};
  const int64_t n = out.shape.elements();
  if (static_cast<uint64_t>(n) != reader.left())
    wrong_count(out.shape, fmt::to_string(reader.left()));
  const auto data = reader.take(static_cast<uint64_t>(n), "the elements");
  const auto* first = reinterpret_cast<const uint8_t*>(data.data());
  out.values.assign(first, first + data.size());
  return out;
}

// The extents of a gzipped file; the stream is then at the first element.
Shape read_idx_header(Inflater& gzip) {
  std::vector<uint8_t> header(4);
  header.resize(gzip.read(header));
  if (header.size() == 4) {
    const size_t rest = std::min<size_t>(header[3], kMaxRank) * 4;
    header.resize(4 + rest);
    header.resize(4 + gzip.read(std::span(header).subspan(4)));
  }
  ByteReader reader(std::as_bytes(std::span(header)));
  return read_idx_shape(reader);
}

// Behind the last element there must be the checksum, and nothing else.
void require_end(Inflater& gzip, const Shape& shape) {
  if (gzip.has_more()) wrong_count(shape, "more");
  if (gzip.unread() != 0)
    throw corrupt(fmt::format("{} extra bytes after the gzip data", gzip.unread()));
}

// Reads everything and keeps nothing, for elements that are many times the file.
void require_sound(std::span<const std::byte> bytes) {
  Inflater gzip(bytes);
  const Shape shape = read_idx_header(gzip);
  std::vector<uint8_t> part(size_t{1} << 18);
  for (int64_t left = shape.elements(), have = 0; left > 0; left -= have) {
    part.resize(static_cast<size_t>(std::min<int64_t>(left, std::ssize(part))));
    have = static_cast<int64_t>(gzip.read(part));
    if (have < std::ssize(part)) wrong_count(shape, fmt::to_string(shape.elements() - left + have));
  }
  require_end(gzip, shape);
}

IdxData read_gzipped(std::span<const std::byte> bytes) {
  Inflater gzip(bytes);
  IdxData out{read_idx_header(gzip), {}};
  const int64_t n = out.shape.elements(), size = std::ssize(bytes);
  if (n / kMaxRatio > size) wrong_count(out.shape, fmt::format("{} compressed", size));
  if (n > size + kUnproven) require_sound(bytes);
  out.values.resize(static_cast<size_t>(n));
  const size_t have = gzip.read(out.values);
  if (have != out.values.size()) wrong_count(out.shape, fmt::to_string(have));
  require_end(gzip, out.shape);
  return out;
}

// The first of the spellings of `base` + "-idx3-ubyte" that is in the folder.
std::optional<std::string> find_one(const std::string& folder, std::string_view base, int rank) {
  for (const char separator : {'-', '.'}) {
    for (const std::string_view end : {"", ".gz"}) {
      std::string path = fmt::format("{}/{}{}idx{}-ubyte{}", folder, base, separator, rank, end);
      struct stat info;
      if (stat(path.c_str(), &info) == 0) return path;
    }
  }
  return std::nullopt;
}

// gzipped(bytes) or plain(bytes), with the file named in errors.
template <class Gzipped, class Plain>
auto with_bytes(const std::string& path, Gzipped gzipped, Plain plain) {
  const auto file = MappedFile::open(path);
  return naming_file(path, [&] {
    const auto bytes = file->bytes();
    if (is_gzip(bytes)) return gzipped(bytes);
    if (bytes.size() >= 2 && bytes[0] != std::byte{0}) {
      if (auto other = recognise_other(bytes, "an IDX file")) throw *std::move(other);
    }
    return plain(bytes);
  });
}

}  // namespace

IdxData read_idx(const std::string& path) { return with_bytes(path, read_gzipped, read_plain); }

Shape read_idx_shape(const std::string& path) {
  return with_bytes(
      path,
      [](std::span<const std::byte> bytes) {
        Inflater gzip(bytes);
        return read_idx_header(gzip);
      },
      [](std::span<const std::byte> bytes) {
        ByteReader reader(bytes);
        return read_idx_shape(reader);
      });
}

MnistPaths find_mnist(const std::string& folder) {
  struct stat info;
  if (stat(folder.c_str(), &info) != 0) throw system_error(errno, folder, "open");
  for (const char* set : {"train", "t10k"}) {
    const auto images = find_one(folder, fmt::format("{}-images", set), 3);
    const auto labels = find_one(folder, fmt::format("{}-labels", set), 1);
    if (images && labels) return {*images, *labels};
  }
  throw not_found(
      "looked for train-images-idx3-ubyte and train-labels-idx1-ubyte, or those of t10k, with or "
      "without .gz, found no such pair")
      .in_file(folder);
}

}  // namespace nibble
