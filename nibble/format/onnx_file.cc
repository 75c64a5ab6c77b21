#include "nibble/format/onnx_file.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "nibble/core/checked.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/core/protobuf.h"
#include "nibble/format/onnx_proto.h"

namespace nibble {
namespace {

// What a file may cost before anything of it is believed: an entry takes more memory than the two
// bytes that can ask for one.
constexpr size_t kMostOnnxTensors = 1'000'000, kMostRank = 8, kMostNameBytes = 4096;

// A TensorProto: where its bytes lie.
struct OnnxEntry {
  TensorInfo info = {};
  bool external = false;
  size_t offset = 0, size = 0;  // of the file that has them
};

Error at_tensor_of(const TensorInfo& info, Error e) {
  return std::move(e).at("tensor " + in_quotes(info.name));
}

std::string_view limited_text(const ProtobufField& field) {
  if (field.bytes().size() <= kMostNameBytes) return field.text();
  throw corrupt(fmt::format("a name of {} bytes", field.bytes().size()))
      .at(fmt::format("offset {}", field.offset()));
}

size_t decimal(std::string_view text, std::string_view key) {
  size_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc() && end == text.data() + text.size()) return out;
  throw corrupt(
      fmt::format("external_data: {} is {}, expected a number of bytes", key, in_quotes(text)));
}

// One TensorProto, field by field.
class OnnxTensorReader {
 public:
  OnnxEntry read(const ProtobufField& message) {
    try {
      ProtobufReader fields(message.bytes(), message.offset());
      for (ProtobufField f; fields.next(f);) take(f);
      finish();
    } catch (Error& e) {
      throw out_.info.name.empty() ? std::move(e) : at_tensor_of(out_.info, std::move(e));
    }
    return std::move(out_);
  }
  const std::string& location() const { return location_; }

 private:
  void take(const ProtobufField& f) {
    switch (f.number()) {
      case OnnxTensorField::dims:
        return add_extent(f);
      case OnnxTensorField::data_type:
        type_ = static_cast<int64_t>(f.varint());
        return;
      case OnnxTensorField::name:
        out_.info.name = limited_text(f);
        return;
      case OnnxTensorField::raw_data:
        out_.offset = f.offset();
        out_.size = f.bytes().size();
        has_bytes_ = true;
        return;
      case OnnxTensorField::external_data:
        return add_entry(f);
      case OnnxTensorField::data_location:
        out_.external = f.varint() == static_cast<uint64_t>(kOnnxExternal);
        return;
      default:
        throw unsupported(
            fmt::format("field {} of a tensor, which nibble does not write", f.number()));
    }
  }

  void add_extent(const ProtobufField& f) {
    const auto extent = static_cast<int64_t>(f.varint());
    if (extent < 0 || dims_.size() == kMostRank)
      throw corrupt(extent < 0 ? fmt::format("an extent of {}", extent)
                               : fmt::format("more than {} extents", kMostRank));
    dims_.push_back(extent);
  }

  void add_entry(const ProtobufField& message) {
    std::string_view key, value;
    ProtobufReader fields(message.bytes(), message.offset());
    for (ProtobufField f; fields.next(f);) {
      if (f.number() == OnnxEntryField::key) key = limited_text(f);
      if (f.number() == OnnxEntryField::value) value = limited_text(f);
    }
    if (key == "location") location_ = value;
    if (key == "offset") entry_offset_ = decimal(value, key);
    if (key == "length") entry_length_ = decimal(value, key);
  }

  void finish() {
    if (out_.info.name.empty()) throw corrupt("a tensor has no name");
    const auto dtype = dtype_of_onnx(type_);
    if (!dtype) throw unsupported(fmt::format("type {} of a tensor's elements", type_));
    out_.info.dtype = *dtype;
    out_.info.shape = Shape(dims_);
    if (out_.external) {
      if (location_.empty() || !entry_length_)
        throw corrupt("external_data lacks its location or length");
      out_.offset = entry_offset_.value_or(0);
      out_.size = *entry_length_;
    } else if (!has_bytes_) {
      throw corrupt("has neither raw_data nor external_data");
    }
    const auto bytes = checked_mul(out_.info.shape.elements(), size_of(*dtype));
    if (bytes && static_cast<size_t>(*bytes) == out_.size) return;
    throw corrupt(fmt::format("{} {} has {} bytes of data", to_string(*dtype),
                              out_.info.shape.to_string(), out_.size));
  }

  OnnxEntry out_;
  std::vector<int64_t> dims_;
  int64_t type_ = 0;
  bool has_bytes_ = false;
  std::string location_;
  std::optional<size_t> entry_offset_, entry_length_;
};

class MappedOnnx : public OnnxFile {
 public:
  explicit MappedOnnx(const std::string& folder)
      : model_(MappedFile::open(folder + '/' + kOnnxModel)) {
    naming_file(model_->path(), [&] {
      read_model();
      open_data(folder);
    });
  }

  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override { return find(name) != nullptr; }
  const TensorInfo* find(std::string_view name) const override {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &infos_[found->second];
  }
  const std::string& producer() const override { return producer_; }

  Tensor get(std::string_view name) const override {
    const Place& p = require(name);
    const TensorInfo& info = infos_[static_cast<size_t>(&p - places_.data())];
    file_of(p)->check_unchanged();
    const Storage bytes = view_of(file_of(p), p.offset, p.size);
    const auto address = reinterpret_cast<uintptr_t>(bytes.data);
    if (address % static_cast<uintptr_t>(size_of(info.dtype)) == 0)
      return {info.dtype, info.shape, bytes};
    Tensor copy(info.dtype, info.shape);
    if (bytes.size > 0) std::memcpy(copy.mutable_raw(), bytes.data, bytes.size);
    return copy;
  }
  void release(std::string_view name) const override {
    const Place& p = require(name);
    if (p.external) data_->drop(p.offset, p.size);
  }
  int64_t file_bytes() const override {
    return std::ssize(model_->bytes()) + (data_ ? std::ssize(data_->bytes()) : 0);
  }

 private:
  struct Place {
    bool external;
    size_t offset, size;
  };

  void read_model() {
    ProtobufReader fields(model_->bytes());
    for (ProtobufField f; fields.next(f);) {
      if (f.number() == OnnxModelField::producer_name) producer_ = limited_text(f);
      if (f.number() == OnnxModelField::graph) read_graph(f);
    }
    for (size_t i = 0; i < infos_.size(); ++i) {
      if (!by_name_.emplace(infos_[i].name, i).second)
        throw at_tensor_of(infos_[i], corrupt("there are two of this name"));
    }
  }
  void read_graph(const ProtobufField& graph) {
    ProtobufReader fields(graph.bytes(), graph.offset());
    for (ProtobufField f; fields.next(f);) {
      if (f.number() == OnnxGraphField::initializer) add(f);
    }
  }
  void add(const ProtobufField& message) {
    if (infos_.size() == kMostOnnxTensors)
      throw corrupt(fmt::format("more than {} tensors", kMostOnnxTensors));
    OnnxTensorReader reader;
    OnnxEntry t = reader.read(message);
    if (t.external) {
      if (!location_.empty() && location_ != reader.location())
        throw at_tensor_of(t.info, unsupported("tensors in several files beside the model"));
      location_ = reader.location();
    }
    places_.push_back({t.external, t.offset, t.size});
    infos_.push_back(std::move(t.info));
  }

  // A name in the same folder, whatever the file says.
  void open_data(const std::string& folder) {
    if (location_.empty()) return;
    if (location_.find('/') != std::string::npos || location_.find('\0') != std::string::npos ||
        location_ == "." || location_ == "..")
      throw corrupt(fmt::format("external_data lies in {}, expected the name of a file beside it",
                                in_quotes(location_)));
    const std::string path = folder + '/' + location_;
    if (!is_regular_file(path)) throw corrupt("the tensors' bytes should lie here").in_file(path);
    data_ = MappedFile::open(path);
    for (size_t i = 0; i < places_.size(); ++i) {
      const Place& p = places_[i];
      const size_t size = data_->bytes().size();
      if (!p.external || (p.offset <= size && p.size <= size - p.offset)) continue;
      throw at_tensor_of(infos_[i],
                         corrupt(fmt::format("{} bytes from {} on, but {} has {} (incomplete "
                                             "download?)",
                                             p.size, p.offset, in_quotes(location_), size)));
    }
  }

  const Place& require(std::string_view name) const {
    const auto found = by_name_.find(name);
    if (found != by_name_.end()) return places_[found->second];
    throw not_found("no such tensor").at("tensor " + in_quotes(name)).in_file(model_->path());
  }
  const std::shared_ptr<const MappedFile>& file_of(const Place& p) const {
    return p.external ? data_ : model_;
  }

  std::shared_ptr<const MappedFile> model_, data_;
  std::string producer_, location_;
  std::vector<TensorInfo> infos_;
  std::vector<Place> places_;                             // beside infos_
  std::unordered_map<std::string_view, size_t> by_name_;  // into both
};

}  // namespace

std::unique_ptr<OnnxFile> open_onnx_file(const std::string& folder) {
  return std::make_unique<MappedOnnx>(folder);
}

}  // namespace nibble
