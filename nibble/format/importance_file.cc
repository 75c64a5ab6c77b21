#include "nibble/format/importance_file.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/format/gguf_file.h"
#include "nibble/format/recognise.h"

namespace nibble {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr std::string_view kChunks = "imatrix.chunk_count", kChunkSize = "imatrix.chunk_size";

std::vector<float> floats_of(const GgufTensor& t) {
  if (t.type->plain != DType::f32)
    throw corrupt(fmt::format("expected F32, found {}", t.type->name))
        .at("tensor " + in_quotes(t.name));
  std::vector<float> out(t.bytes / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), t.file->bytes().data() + t.offset, t.bytes);
  return out;
}

std::optional<int64_t> count_if(const GgufMetadata& metadata, std::string_view key) {
  const auto out = metadata.integer_if(key);
  if (out && *out < 0)
    throw corrupt(fmt::format("expected 0 or more, found {}", *out)).at("key " + in_quotes(key));
  return out;
}

// Every value finite and not below 0.
template <class T>
void require_sums(const std::vector<T>& values, std::string_view what) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= 0 && std::isfinite(values[i])) continue;
    throw corrupt(fmt::format("{} {} is {}: expected a finite one, 0 or more", what, i, values[i]));
  }
}

void require_entry(const ImportanceEntry& e) {
  if (e.sums.empty() || e.counts.empty()) throw corrupt("holds no sums, or no counts of them");
  if (e.sums.size() % e.counts.size() != 0)
    throw corrupt(fmt::format("{} sums with {} counts: expected as many for each", e.sums.size(),
                              e.counts.size()));
  require_sums(e.sums, "sum");
  require_sums(e.counts, "count");
}

void require_entries(const ImportanceFile& file) {
  if (file.entries.empty()) throw corrupt("holds no entries: is it an importance matrix?");
  for (const auto& [name, entry] : file.entries) {
    try {
      require_entry(entry);
    } catch (Error& e) {
      throw std::move(e).at("entry " + in_quotes(name));
    }
  }
}

// A model is a GGUF file, too.
void require_kind(const GgufMetadata& metadata) {
  constexpr std::string_view kType = "general.type", kImatrix = "imatrix";
  const std::string type = metadata.string_if(kType).value_or("model");
  if (type == kImatrix) return;
  throw corrupt(fmt::format("is {}: expected {}, as llama-imatrix writes it", in_quotes(type),
                            in_quotes(kImatrix)))
      .at("key " + in_quotes(kType));
}

ImportanceFile read_gguf(const std::string& path) {
  const GgufFile file = GgufFile::open(path);
  require_kind(file.metadata());
  file.require_data();
  ImportanceFile out;
  out.chunks = count_if(file.metadata(), kChunks);
  out.chunk_size = count_if(file.metadata(), kChunkSize);
  for (const GgufTensor& t : file.tensors()) {
    const std::string_view name = t.name;
    if (name.ends_with(kSums)) {
      out.entries[std::string(name.substr(0, name.size() - kSums.size()))].sums = floats_of(t);
    } else if (name.ends_with(kCounts)) {
      const std::vector<float> counts = floats_of(t);
      out.entries[std::string(name.substr(0, name.size() - kCounts.size()))].counts.assign(
          counts.begin(), counts.end());
    }
  }
  return out;
}

ImportanceFile read_dat(const std::string& path) {
  const auto file = MappedFile::open(path);
  try {
    return parse_importance_dat(file->bytes());
  } catch (const Error&) {
    if (auto other = recognise_other(file->bytes(), "an importance matrix"))
      throw std::move(*other);
    throw;
  }
}

}  // namespace

ImportanceFile read_importance(const std::string& path) {
  return naming_file(path, [&] {
    ImportanceFile out = is_gguf(path) ? read_gguf(path) : read_dat(path);
    require_entries(out);
    return out;
  });
}

}  // namespace nibble
