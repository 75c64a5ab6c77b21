#include "nibble/train/checkpoint.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>

#include "nibble/core/byte_reader.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"

namespace nibble {
namespace {

constexpr std::string_view kMagic = "NIBTRAIN";
constexpr uint32_t kVersion = 2;
// Longer than any list of options; a file that claims more is refused before anything is copied.
constexpr uint32_t kOptionsLimit = 1 << 16;

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

uint32_t crc_of(std::string_view bytes, uint32_t before = 0) {
  if (bytes.empty()) return before;  // zlib begins anew where there are no bytes
  return static_cast<uint32_t>(
      crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// Writes as it goes: there is no second copy of the weights.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(AtomicFile& file) : file_(file) {}
  template <class T>
  void put(T value) {
    put(std::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
  }
  void put(std::string_view bytes) {
    file_.write(bytes);
    crc_ = crc_of(bytes, crc_);
    size_ += bytes.size();
  }
  void put_floats(std::span<const float> values) {
    put(static_cast<uint64_t>(values.size()));
    put(std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
  }
  void pad() { put(std::string_view("\0\0\0\0\0\0\0", (8 - size_ % 8) % 8)); }
  void finish() { put(uint32_t{crc_}); }

 private:
  AtomicFile& file_;
  uint32_t crc_ = 0;
  size_t size_ = 0;
};

std::span<const float> take_floats(ByteReader& in, std::string_view what) {
  const uint64_t count = in.u64(what);
  in.check_count(count, sizeof(float), what);
  const auto bytes = in.take(count * sizeof(float), what);
  return {reinterpret_cast<const float*>(bytes.data()), static_cast<size_t>(count)};
}

void require(bool condition, std::string_view what) {
  if (!condition) throw corrupt(std::string(what));
}

std::string_view take_text(ByteReader& in, uint64_t size, std::string_view what) {
  const auto bytes = in.take(size, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void parse(Checkpoint& c) {
  const std::string_view file = c.file;
  require(file.starts_with(kMagic), "not a checkpoint of nibble (its first bytes are others)");
  require(file.size() > kMagic.size() + 8, "the checkpoint is cut short");
  uint32_t stored;
  std::memcpy(&stored, file.data() + file.size() - sizeof(stored), sizeof(stored));
  const std::string_view covered = file.substr(0, file.size() - sizeof(stored));
  ByteReader in(std::as_bytes(std::span(covered)));
  in.take(kMagic.size(), "magic");
  if (const uint32_t version = in.u32("version"); version != kVersion) {
    throw unsupported(
        fmt::format("checkpoint version {}, this nibble reads {}", version, kVersion));
  }
  require(crc_of(covered) == stored, "the checkpoint's CRC does not match (damaged or cut short)");
  const uint32_t length = in.u32("length of the options");
  require(length <= kOptionsLimit, "the checkpoint's options are longer than they can be");
  c.options = take_text(in, length, "options");
  in.take((8 - in.offset() % 8) % 8, "padding");
  c.data_hash = in.u64("hash of the data");
  c.step = static_cast<int64_t>(in.u64("step"));
  c.tokens = static_cast<int64_t>(in.u64("tokens"));
  c.seconds = std::bit_cast<double>(in.u64("seconds"));
  c.losses = take_floats(in, "losses");
  c.weights = take_floats(in, "weights");
  c.first = take_floats(in, "first moments");
  c.second = take_floats(in, "second moments");
  c.state = take_floats(in, "scales");
  c.looks = take_floats(in, "held-out losses");
  c.best = take_floats(in, "best weights");
  c.best_state = take_floats(in, "best scales");
  require(in.left() == 0, "the checkpoint has bytes behind its end");
}

std::string read_begin(const std::string& path, size_t count) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes().first(std::min(count, file->bytes().size()));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void write_checkpoint(const std::string& path, const Checkpoint& c, bool rotate) {
  const auto arrays = {c.losses, c.weights, c.first, c.second,
                       c.state,  c.looks,   c.best,  c.best_state};
  size_t size = 64 + c.options.size();
  for (const std::span<const float> values : arrays) size += values.size_bytes() + 8;
  AtomicFile file(path, static_cast<int64_t>(size));
  CheckpointWriter out(file);
  out.put(kMagic);
  out.put(kVersion);
  out.put(static_cast<uint32_t>(c.options.size()));
  out.put(std::string_view(c.options));
  out.pad();
  out.put(c.data_hash);
  out.put(static_cast<uint64_t>(c.step));
  out.put(static_cast<uint64_t>(c.tokens));
  out.put(c.seconds);
  for (const std::span<const float> values : arrays) out.put_floats(values);
  out.finish();
  std::error_code ignored;  // there is none before the first checkpoint
  if (rotate) std::filesystem::rename(path, path + ".previous", ignored);
  file.commit();
}

Checkpoint read_checkpoint(const std::string& path, std::string_view options, uint64_t data_hash,
                           int64_t parameters) {
  Checkpoint c;
  c.file = read_file(path);
  try {
    parse(c);
    require(c.options == options,
            fmt::format("the checkpoint belongs to a run with other options: {}; this run has {}",
                        printable(c.options, 600), options));
    require(c.data_hash == data_hash, "the checkpoint belongs to a run on other training data");
    const auto count = static_cast<size_t>(parameters);
    require(c.weights.size() == count && c.first.size() == count && c.second.size() == count,
            "the checkpoint has another number of weights or moments than the model");
    require(c.best.empty() || c.best.size() == count,
            "the checkpoint has another number of best weights than the model");
    require(c.step >= 0 && c.losses.size() == static_cast<size_t>(c.step),
            "the checkpoint's losses do not belong to its step");
  } catch (Error& e) {
    e.set_file(path);
    throw;
  }
  return c;
}

void refuse_foreign_checkpoint(const std::string& path) {
  for (const std::string& name : {path, path + ".previous"}) {
    std::error_code none;
    const auto type = std::filesystem::symlink_status(name, none).type();
    if (type == std::filesystem::file_type::not_found) continue;
    if (type == std::filesystem::file_type::regular) {
      const std::string begin = read_begin(name, kMagic.size());
      if (begin == kMagic || begin.empty()) continue;  // nothing is lost with an empty one
    }
    throw cannot_create("is needed for checkpoints, and is something else; rename it or remove it")
        .in_file(name);
  }
}

uint64_t hash_sequences(const std::vector<std::vector<int32_t>>& data) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001b3u; };
  for (const auto& ids : data) {
    add(ids.size());
    for (int32_t id : ids) add(static_cast<uint32_t>(id));
  }
  return hash;
}

}  // namespace nibble
