#include "nibble/format/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"

namespace nibble::safetensors {
namespace {

// The shortest entry that can pass: "a":{"dtype":"U8","shape":[],"data_offsets":[0,0]} and a comma.
constexpr size_t kShortestEntry = 50;

// {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"k": "v"}}
class HeaderHandler : public JsonHandler {
 public:
  explicit HeaderHandler(size_t header_bytes) {
    // Addresses only: pages that stay untouched take no memory.
    header_.names.reserve(header_bytes);
    header_.entries.reserve(header_bytes / kShortestEntry + 1);
  }
  Header take() { return std::move(header_); }

  void on_object_begin() override {
    if (depth_ > 1) unexpected("an object");
    if (++depth_ != 2) return;
    entry_ = {};
    seen_ = 0;
    field_ = Field::other;
  }
  void on_object_end() override {
    if (--depth_ == 1 && !metadata_) finish_entry();
  }
  void on_array_begin() override {
    const bool wanted =
        depth_ == 2 && !metadata_ && (field_ == Field::shape || field_ == Field::offsets);
    if (!wanted) unexpected("an array");
    if (wanted) begin_numbers();
    ++depth_;
  }
  void on_array_end() override {
    if (--depth_ == 2 && field_ == Field::offsets && items_ != 2)
      fail(fmt::format("data_offsets has {} numbers, expected 2", items_));
  }
  void on_key(std::string_view key) override {
    if (depth_ == 1) begin_tensor(key);
    if (depth_ != 2 || metadata_) return;
    field_ = key == "dtype"          ? Field::dtype
             : key == "shape"        ? Field::shape
             : key == "data_offsets" ? Field::offsets
                                     : Field::other;
  }
  void on_string(std::string_view text) override {
    if (depth_ == 2 && metadata_) return;
    if (depth_ == 2 && field_ == Field::dtype) return set_dtype(text);
    unexpected("a string");
  }
  void on_unsigned(uint64_t number) override {
    if (depth_ == 3 && field_ == Field::shape) return add_extent(number);
    if (depth_ == 3 && field_ == Field::offsets) return add_offset(number);
    unexpected(fmt::format("the number {}", number));
  }
  void on_integer(int64_t number) override { unexpected(fmt::format("the number {}", number)); }
  void on_number(double, std::string_view text) override {
    unexpected(fmt::format("the number {}", printable(text, 40)));
  }
  void on_boolean(bool) override { unexpected("a boolean"); }
  void on_null() override { unexpected("null"); }

 private:
  // Where the parser is: depth 1 is the header, 2 a tensor's entry or the metadata, 3 a list of
  // numbers; whatever lies deeper belongs to a field that nibble does not know.
  enum class Field : uint8_t { other, dtype, shape, offsets };
  static constexpr int bit(Field f) { return 1 << static_cast<int>(f); }

  void begin_tensor(std::string_view name) {
    metadata_ = name == kMetadataKey;
    name_ = name;
    if (!metadata_) check_name(name);
  }

  // A value that is not the one expected here; ignored in a field that nibble does not know.
  void unexpected(std::string_view found) const {
    if (depth_ == 0) throw corrupt(fmt::format("the header is {}, expected an object", found));
    if (metadata_) {
      throw corrupt(fmt::format("found {}, expected {}", found,
                                depth_ == 1 ? "an object" : "nothing but strings"))
          .at(fmt::format("key \"{}\"", kMetadataKey));
    }
    if (depth_ == 1) fail(fmt::format("is {}, expected an object", found));
    if (field_ == Field::dtype) fail(fmt::format("dtype: found {}, expected a string", found));
    if (field_ == Field::shape)
      fail(fmt::format("shape: found {}, expected a list of whole numbers", found));
    if (field_ == Field::offsets)
      fail(fmt::format("data_offsets: found {}, expected two whole numbers", found));
  }

  void set_dtype(std::string_view text) {
    const auto dtype = parse_safetensors_dtype(text);
    if (!dtype) {
      throw unsupported(fmt::format("dtype {} is not supported, expected F64, F32, F16, BF16, "
                                    "F8_E4M3, F8_E5M2, I64 to I8, U64 to U8 or BOOL",
                                    in_quotes(text, 40)))
          .at(at_tensor(name_));
    }
    entry_.dtype = *dtype;
    seen_ |= bit(Field::dtype);
  }

  void begin_numbers() {
    items_ = 0;
    seen_ |= bit(field_);
    if (field_ == Field::shape) entry_.dims = static_cast<uint32_t>(header_.dims.size());
  }

  void add_extent(uint64_t extent) {
    if (++items_ > kMaxRank) fail(fmt::format("shape has more than {} dimensions", kMaxRank));
    if (extent > static_cast<uint64_t>(INT64_MAX)) fail("size overflow in its shape");
    header_.dims.push_back(static_cast<int64_t>(extent));
    entry_.rank = static_cast<uint8_t>(items_);
  }

  void add_offset(uint64_t offset) {
    if (++items_ <= 2) (items_ == 1 ? entry_.begin : entry_.end) = offset;
  }

  void finish_entry() {
    if ((seen_ & bit(Field::dtype)) == 0) fail("dtype is missing");
    if ((seen_ & bit(Field::shape)) == 0) fail("shape is missing");
    if ((seen_ & bit(Field::offsets)) == 0) fail("data_offsets is missing");
    entry_.name = static_cast<uint32_t>(header_.names.size());
    entry_.name_size = static_cast<uint32_t>(name_.size());
    check_size();
    header_.names += name_;
    header_.entries.push_back(entry_);
  }

  void check_size() {
    const auto dims = std::span(header_.dims).subspan(entry_.dims, entry_.rank);
    int64_t bytes = size_of(entry_.dtype);
    if (std::find(dims.begin(), dims.end(), 0) != dims.end()) bytes = 0;
    for (const int64_t d : dims) {
      const auto product = checked_mul(bytes, d);
      if (!product) fail("size overflow: its shape has more bytes than 64 bits can count");
      bytes = *product;
    }
    if (entry_.end < entry_.begin)
      fail(
          fmt::format("data_offsets end at {}, before they begin at {}", entry_.end, entry_.begin));
    if (entry_.end - entry_.begin != static_cast<uint64_t>(bytes)) {
      fail(fmt::format("its shape and dtype need {} bytes, data_offsets [{}, {}] give it {}", bytes,
                       entry_.begin, entry_.end, entry_.end - entry_.begin));
    }
  }

  [[noreturn]] void fail(std::string reason) const {
    throw corrupt(std::move(reason)).at(at_tensor(name_));
  }

  Header header_;
  int depth_ = 0;
  bool metadata_ = false;
  std::string name_;
  Entry entry_;
  int seen_ = 0;
  Field field_ = Field::other;
  size_t items_ = 0;
};

}  // namespace

Shape Header::shape(const Entry& e) const {
  const auto extents = std::span(dims).subspan(e.dims, e.rank);
  return Shape(std::vector<int64_t>(extents.begin(), extents.end()));
}

std::string at_tensor(std::string_view name) { return "tensor " + in_quotes(name); }

void check_name(std::string_view name) {
  if (name.empty()) throw corrupt("a tensor's name is empty");
  if (name.size() > kMaxName) {
    throw corrupt(fmt::format("a name of {} bytes, limit {}", name.size(), kMaxName))
        .at(at_tensor(name));
  }
  if (name.find('\0') != std::string_view::npos)
    throw corrupt("its name holds a NUL").at(at_tensor(name));
}

Header parse_header(std::string_view json) {
  HeaderHandler handler(json.size());
  parse_json(json, handler, 8);
  return handler.take();
}

void check_layout(Header& header, uint64_t data_bytes) {
  // Ties are empty tensors; their order in the header is kept, so that it is the same everywhere.
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const Entry& a, const Entry& b) {
                     return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
                   });
  uint64_t end = 0;
  for (const Entry& e : header.entries) {
    const auto fail = [&](std::string reason) {
      throw corrupt(std::move(reason)).at(at_tensor(header.name(e)));
    };
    if (e.begin > end) {
      fail(fmt::format("data_offsets [{}, {}] leave a hole: nobody owns bytes {} to {}", e.begin,
                       e.end, end, e.begin));
    }
    if (e.begin < end) {
      fail(fmt::format("data_offsets [{}, {}] overlap another tensor's, which end at {}", e.begin,
                       e.end, end));
    }
    if (e.end > data_bytes) {
      fail(
          fmt::format("data ends at byte {} of the data, the file has {}: {} bytes missing "
                      "(incomplete download?)",
                      e.end, data_bytes, e.end - data_bytes));
    }
    end = e.end;
  }
  if (end == data_bytes) return;
  throw corrupt(
      fmt::format("{} extra bytes after the last tensor; download it again", data_bytes - end));
}

}  // namespace nibble::safetensors
