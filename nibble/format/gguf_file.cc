#include "nibble/format/gguf_file.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/gguf_header.h"
#include "nibble/format/recognise.h"

namespace nibble {
namespace {

constexpr std::string_view kPart = "split.no", kParts = "split.count",
                           kAllTensors = "split.tensors.count";
constexpr int64_t kMostParts = 99'999;  // five digits in a name

// "model-00002-of-00003.gguf" cut in three.
struct PartName {
  std::string stem;  // "model-"
  int64_t part = 0, parts = 0;
  std::string of(int64_t i) const { return fmt::format("{}{:05}-of-{:05}.gguf", stem, i, parts); }
};

std::optional<PartName> part_name(const std::string& path) {
  constexpr std::string_view kPattern = "00000-of-00000.gguf";
  if (path.size() <= kPattern.size()) return std::nullopt;
  const size_t cut = path.size() - kPattern.size();
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const char c = path[cut + i];
    if (kPattern[i] == '0' ? c < '0' || c > '9' : c != kPattern[i]) return std::nullopt;
  }
  return PartName{path.substr(0, cut), std::stoll(path.substr(cut, 5)),
                  std::stoll(path.substr(cut + 9, 5))};
}

Error at_part(Error error, std::string_view key) {
  return std::move(error).at("key " + in_quotes(key));
}

int64_t number_of_parts(const GgufMetadata& metadata) {
  const int64_t count = metadata.integer_if(kParts).value_or(1);
  if (count >= 0 && count <= kMostParts) return count;
  throw at_part(corrupt(fmt::format("must be between 0 and {} (got {})", kMostParts, count)),
                kParts);
}

}  // namespace

size_t GgufTensor::row_bytes() const {
  const int64_t columns = shape.rank() == 0 ? 1 : shape[shape.rank() - 1];
  return static_cast<size_t>(columns / type->elements * type->bytes);
}

bool is_gguf(const std::string& path) {
  if (!is_regular_file(path)) return false;  // a FIFO would be waited for
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::memcmp(magic, "GGUF", sizeof magic) == 0;
}

void GgufFile::add_part(const std::string& path, bool first) {
  const auto file = MappedFile::open(path);
  naming_file(path, [&] {
    GgufHeader header = read_gguf_header(file->bytes());
    const int64_t part = header.metadata.integer_if(kPart).value_or(0);
    if (part != static_cast<int64_t>(files_.size())) {
      throw at_part(corrupt(fmt::format("says part {} of a set, expected part {}", part + 1,
                                        files_.size() + 1)),
                    kPart);
    }
    if (!first && number_of_parts(header.metadata) != number_of_parts(metadata_))
      throw at_part(corrupt("is another in the first part of the set"), kParts);
    for (GgufTensorInfo& t : header.tensors) {
      if (!by_name_.emplace(t.name, tensors_.size()).second)
        throw corrupt("stands in two parts of the set").at("tensor " + in_quotes(t.name));
      tensors_.push_back({std::move(t.name), t.type, std::move(t.shape), file, t.offset, t.bytes});
    }
    if (!first) return;
    metadata_ = std::move(header.metadata);
    version_ = header.version;
  });
  files_.push_back(file);
}

void GgufFile::open_other_parts(const std::string& path, bool asked_for_another) {
  const int64_t parts = number_of_parts(metadata_);
  const auto name = part_name(path);
  if (parts <= 1 && asked_for_another) {
    throw at_part(corrupt("says that this file is a whole model: it is not the first part of the "
                          "one that was to be opened"),
                  kParts);
  }
  if (parts <= 1) return;
  if (!name || name->parts != parts) {
    throw at_part(corrupt(fmt::format("is {}: the parts of a set are found by their names, "
                                      "NAME-00001-of-{:05}.gguf",
                                      parts, parts)),
                  kParts);
  }
  for (int64_t i = 2; i <= parts; ++i) {
    if (!exists(name->of(i)))
      throw not_found(fmt::format("part {} of {} is missing", i, parts)).in_file(name->of(i));
    add_part(name->of(i), false);
  }
  const int64_t all = metadata_.integer_if(kAllTensors).value_or(std::ssize(tensors_));
  if (all == std::ssize(tensors_)) return;
  throw at_part(corrupt(fmt::format("says {} tensors, the parts hold {}", all, tensors_.size())),
                kAllTensors);
}

GgufFile GgufFile::open(const std::string& path) {
  // Any part of a set opens all of it.
  const auto name = part_name(path);
  const std::string first = name && name->part > 1 ? name->of(1) : path;
  if (!exists(first))
    throw not_found(fmt::format("part 1 of {} is missing", name ? name->parts : 1)).in_file(first);
  GgufFile out;
  try {
    out.add_part(first, true);
  } catch (Error& e) {
    if (is_gguf(first)) throw;
    if (auto other = recognise_other(MappedFile::open(first)->bytes(), "a GGUF file"))
      throw std::move(*other).in_file(first);
    throw;
  }
  naming_file(first, [&] { out.open_other_parts(first, first != path); });
  return out;
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const GgufTensor& GgufFile::require(std::string_view name) const {
  if (const GgufTensor* t = find(name)) return *t;
  throw not_found("no such tensor").at("tensor " + in_quotes(name));
}

void GgufFile::require_data() const {
  for (const auto& file : files_) {
    const GgufTensor* first = nullptr;
    size_t end = 0;
    for (const GgufTensor& t : tensors_) {
      if (t.file != file || t.bytes == 0) continue;
      if (t.offset + t.bytes > file->bytes().size() && first == nullptr) first = &t;
      end = std::max(end, t.offset + t.bytes);
    }
    if (first == nullptr) continue;
    const size_t has = file->bytes().size();
    throw corrupt(fmt::format("data [{}, {}) lie beyond the {} bytes that the file has; {} bytes "
                              "are missing (incomplete download?)",
                              first->offset, first->offset + first->bytes, has, end - has))
        .at("tensor " + in_quotes(first->name))
        .in_file(file->path());
  }
}

int64_t GgufFile::file_bytes() const {
  int64_t sum = 0;
  for (const auto& file : files_) sum += static_cast<int64_t>(file->bytes().size());
  return sum;
}

}  // namespace nibble
