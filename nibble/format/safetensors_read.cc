#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "nibble/core/byte_reader.h"
#include "nibble/core/files.h"
#include "nibble/core/json.h"
#include "nibble/format/recognise.h"
#include "nibble/format/safetensors.h"
#include "nibble/format/safetensors_header.h"

namespace nibble {
namespace {

using namespace safetensors;

class SafetensorsFile : public TensorSource {
 public:
  explicit SafetensorsFile(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
    try {
      read_header();
    } catch (Error& e) {
      throw std::move(e).in_file(file_->path());
    }
  }

  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override { return find(name) != infos_.size(); }
  int64_t file_bytes() const override { return static_cast<int64_t>(file_->bytes().size()); }

  Tensor get(std::string_view name) const override {
    file_->check_unchanged();
    const size_t i = require(name);
    const auto [dtype, shape] = std::pair(infos_[i].dtype, infos_[i].shape);
    const Storage bytes = view_of(file_, data_ + parts_[i].begin, parts_[i].size);
    const auto address = reinterpret_cast<uintptr_t>(bytes.data);
    if (address % static_cast<uintptr_t>(size_of(dtype)) == 0) return {dtype, shape, bytes};
    // The format allows data at odd addresses, the processor's float loads and C++ do not.
    Tensor copy(dtype, shape);
    std::memcpy(copy.mutable_raw(), bytes.data, bytes.size);
    return copy;
  }

  void release(std::string_view name) const override {
    file_->check_unchanged();
    const size_t i = require(name);
    file_->drop(data_ + parts_[i].begin, parts_[i].size);
  }

 private:
  struct Part {
    size_t begin, size;  // from data_
  };

  void read_header() {
    const auto bytes = file_->bytes();
    const std::string_view json = header_text(bytes);
    data_ = 8 + json.size();
    Header header = parse_header(json);
    check_layout(header, bytes.size() - data_);
    file_->drop(0, data_);  // before the list is built, so that both never lie in memory
    infos_.reserve(header.entries.size());
    parts_.reserve(header.entries.size());
    for (const Entry& e : header.entries) {
      infos_.push_back({std::string(header.name(e)), e.dtype, header.shape(e)});
      parts_.push_back({static_cast<size_t>(e.begin), static_cast<size_t>(e.end - e.begin)});
    }
    by_name_.resize(infos_.size());
    std::iota(by_name_.begin(), by_name_.end(), 0u);
    std::sort(by_name_.begin(), by_name_.end(),
              [this](uint32_t a, uint32_t b) { return infos_[a].name < infos_[b].name; });
  }

  static std::string_view header_text(std::span<const std::byte> bytes) {
    try {
      ByteReader reader(bytes);
      if (bytes.size() < 8)
        throw corrupt(fmt::format("header too small (need 8 bytes, have {})", bytes.size()));
      const uint64_t size = reader.u64("the header's length");
      if (size > kMaxHeader)
        throw corrupt(fmt::format("header length {} over the limit {}", size, kMaxHeader))
            .at("offset 0");
      if (size > reader.left()) {
        throw corrupt(fmt::format("header of {} bytes runs past the end of the file, which has {} "
                                  "left (incomplete download?)",
                                  size, reader.left()))
            .at("offset 8");
      }
      const auto header = reader.take(size, "the header");
      const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
      const size_t ink = text.find_first_not_of(" \t\r\n");
      if (ink == std::string_view::npos || text[ink] != '{') refuse_start(text, ink);
      return text;
    } catch (const Error&) {
      // A file that is something else altogether is better called by its name.
      const bool ours = bytes.size() > 8 && bytes[8] == std::byte{'{'};
      if (ours) throw;
      if (auto other = recognise_other(bytes, "safetensors")) throw *std::move(other);
      throw;
    }
  }

  [[noreturn]] static void refuse_start(std::string_view text, size_t ink) {
    if (ink != std::string_view::npos && static_cast<unsigned char>(text[ink]) >= 0x80) {
      JsonHandler nobody;  // says where UTF-8 ends, or what else is wrong
      parse_json(text, nobody, 8);
    }
    throw corrupt(ink == std::string_view::npos
                      ? std::string("the header is empty, expected a JSON object")
                      : fmt::format("the header is not a JSON object: it begins with {}",
                                    in_quotes(text.substr(ink, 1))))
        .at(fmt::format("offset {}", 8 + (ink == std::string_view::npos ? 0 : ink)));
  }

  // The index of a tensor; the number of tensors where there is none of that name.
  size_t find(std::string_view name) const {
    const auto at =
        std::lower_bound(by_name_.begin(), by_name_.end(), name,
                         [this](uint32_t i, std::string_view n) { return infos_[i].name < n; });
    return at != by_name_.end() && infos_[*at].name == name ? *at : infos_.size();
  }
  size_t require(std::string_view name) const {
    const size_t i = find(name);
    if (i == infos_.size())
      throw not_found("no such tensor").at(at_tensor(name)).in_file(file_->path());
    return i;
  }

  std::shared_ptr<const MappedFile> file_;
  size_t data_ = 0;  // where the header ends
  std::vector<TensorInfo> infos_;
  std::vector<Part> parts_;        // beside infos_
  std::vector<uint32_t> by_name_;  // indices into both, sorted by name
};

}  // namespace

std::unique_ptr<TensorSource> open_safetensors(const std::string& path) {
  return std::make_unique<SafetensorsFile>(MappedFile::open(path));
}

}  // namespace nibble
