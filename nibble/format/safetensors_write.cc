#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>

#include "nibble/core/checked.h"
#include "nibble/core/files.h"
#include "nibble/core/json.h"
#include "nibble/core/key_set.h"
#include "nibble/core/utf8.h"
#include "nibble/format/safetensors.h"
#include "nibble/format/safetensors_header.h"

namespace nibble {
namespace {

using namespace safetensors;
using Metadata = std::map<std::string, std::string>;

int64_t bytes_of(const TensorInfo& info) {
  const auto bytes = checked_mul(info.shape.elements(), size_of(info.dtype));
  if (!bytes) throw invalid_argument("size overflow").at(at_tensor(info.name));
  return *bytes;
}

int64_t bytes_of(std::span<const LazyTensor> tensors) {
  int64_t sum = 0;
  for (const LazyTensor& t : tensors) {
    const auto next = checked_add(sum, bytes_of(t.info));
    if (!next) throw invalid_argument("size overflow").at(at_tensor(t.info.name));
    sum = *next;
  }
  return sum;
}

// What the reader would refuse is not written in the first place.
void check_names(std::span<const LazyTensor> tensors) {
  KeySet names;
  for (const LazyTensor& t : tensors) {
    const std::string& name = t.info.name;
    const auto refuse = [&](std::string reason) {
      throw invalid_argument(std::move(reason)).at(at_tensor(name));
    };
    if (name.empty() || name.size() > kMaxName || name.find('\0') != std::string::npos)
      refuse(fmt::format("a name is 1 to {} bytes and holds no NUL", kMaxName));
    if (name == kMetadataKey) refuse("the format keeps this name for itself");
    if (!is_utf8(name)) refuse("the name is not UTF-8");
    if (!names.insert(name)) refuse("two tensors have this name");
    if (t.info.shape.rank() > kMaxRank)
      refuse(fmt::format("has {} dimensions, limit {}", t.info.shape.rank(), kMaxRank));
  }
}

// The eight bytes of length and the JSON, padded with blanks so that the data start aligned.
std::string header_of(std::span<const LazyTensor> tensors, const Metadata& metadata) {
  std::string out(8, '\0');
  out += fmt::format("{{{}:{{\"format\":", json_quoted(kMetadataKey));
  const auto format = metadata.find("format");
  out += json_quoted(format == metadata.end() ? "pt" : format->second);
  for (const auto& [key, value] : metadata) {
    if (key != "format") out += fmt::format(",{}:{}", json_quoted(key), json_quoted(value));
  }
  out += '}';
  int64_t begin = 0;
  for (const LazyTensor& t : tensors) {
    const int64_t end = begin + bytes_of(t.info);
    fmt::format_to(std::back_inserter(out),
                   ",{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                   json_quoted(t.info.name), row(t.info.dtype).safetensors,
                   fmt::join(t.info.shape.dims(), ","), begin, end);
    begin = end;
  }
  out += '}';
  out.resize(static_cast<size_t>(ceil_div(static_cast<int64_t>(out.size()), 8) * 8), ' ');
  const uint64_t size = out.size() - 8;
  if (size > kMaxHeader) {
    throw invalid_argument(
        fmt::format("a header of {} bytes, the format's limit is {}: write "
                    "smaller shards",
                    size, kMaxHeader));
  }
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(size >> (8 * i) & 0xFF);
  return out;
}

void write_file(const std::string& path, std::span<const LazyTensor> tensors,
                const Metadata& metadata) {
  const std::string header = header_of(tensors, metadata);
  AtomicFile file(path, static_cast<int64_t>(header.size()) + bytes_of(tensors));
  file.write(header);
  for (const LazyTensor& t : tensors) {
    const Tensor tensor = t.make();
    NIBBLE_CHECK(tensor.dtype() == t.info.dtype && tensor.shape() == t.info.shape);
    file.write(std::span(tensor.raw(), tensor.bytes()));
  }
  file.commit();
}

// Shards as ranges of the list.
std::vector<std::span<const LazyTensor>> plan_shards(std::span<const LazyTensor> tensors,
                                                     int64_t shard_bytes) {
  std::vector<std::span<const LazyTensor>> shards;
  size_t first = 0;
  int64_t held = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t bytes = bytes_of(tensors[i].info);
    if (i > first && bytes > shard_bytes - held) {
      shards.push_back(tensors.subspan(first, i - first));
      first = i;
      held = 0;
    }
    held += bytes;
  }
  shards.push_back(tensors.subspan(first));
  return shards;
}

std::string shard_name(size_t i, size_t n) {
  return fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, n);
}

std::string index_of(std::span<const std::span<const LazyTensor>> shards, int64_t total) {
  JsonWriter out;
  out.begin_object();
  out.key("metadata").begin_object().field("total_size", total).end_object();
  out.key("weight_map").begin_object();
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const LazyTensor& t : shards[i]) out.field(t.info.name, shard_name(i, shards.size()));
  }
  out.end_object().end_object();
  return out.finish();
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const Metadata& metadata) {
  std::vector<LazyTensor> lazy;
  lazy.reserve(tensors.size());
  for (const NamedTensor& t : tensors)
    lazy.push_back({{t.name, t.tensor.dtype(), t.tensor.shape()}, [&t] { return t.tensor; }});
  check_names(lazy);
  write_file(path, lazy, metadata);
}

void write_safetensors_folder(const std::string& folder, const std::vector<LazyTensor>& tensors,
                              int64_t shard_bytes) {
  NIBBLE_CHECK(shard_bytes > 0);
  check_names(tensors);
  const int64_t total = bytes_of(tensors);
  if (total <= shard_bytes) return write_file(folder + "/model.safetensors", tensors, {});
  const auto shards = plan_shards(tensors, shard_bytes);
  for (size_t i = 0; i < shards.size(); ++i)
    write_file(folder + '/' + shard_name(i, shards.size()), shards[i], {});
  AtomicFile index(folder + "/model.safetensors.index.json");
  index.write(index_of(shards, total));
  index.commit();
}

int64_t safetensors_folder_bytes(const std::vector<LazyTensor>& tensors, int64_t shard_bytes) {
  int64_t sum = 0;
  for (const auto& shard : plan_shards(tensors, shard_bytes))
    sum += static_cast<int64_t>(header_of(shard, {}).size()) + bytes_of(shard);
  return sum;
}

}  // namespace nibble
