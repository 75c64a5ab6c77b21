#include "nibble/model/arranged_source.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

constexpr int64_t kTile = 32;

template <class T>
void transpose_as(const Tensor& from, Tensor& to) {
  const int64_t n = from.shape()[0], k = from.shape()[1];
  // A mapped tensor may begin at any byte.
  const std::byte* in = from.raw();
  auto* out = reinterpret_cast<T*>(to.mutable_raw());
  for (int64_t row = 0; row < n; row += kTile) {
    for (int64_t column = 0; column < k; column += kTile) {
      for (int64_t c = column; c < std::min(column + kTile, k); ++c) {
        for (int64_t r = row; r < std::min(row + kTile, n); ++r)
          std::memcpy(out + c * n + r, in + static_cast<size_t>(r * k + c) * sizeof(T), sizeof(T));
      }
    }
  }
}

// Memory straight from the system, given back at once when it is let go: between the packed weights
// that stay, the heap would keep the holes.
Storage pages(size_t size) {
  const size_t length = std::max<size_t>(size, 1);
  void* at = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  return {std::shared_ptr<const void>(at, [at, length](const void*) { munmap(at, length); }),
          static_cast<std::byte*>(at), size};
}

// A number that is finite where it stands and is not as f32 would turn up as an infinite one.
Tensor as_f32(const Tensor& stored, std::string_view name) {
  refuse_nonfinite(stored, name);
  Tensor out = convert(stored, DType::f32);
  if (plainly_finite(out)) return out;
  throw unsupported("holds weights beyond the range of f32, in which nibble computes")
      .at("tensor " + in_quotes(name));
}

class ArrangedSource : public TensorSource {
 public:
  ArrangedSource(std::unique_ptr<TensorSource> stored, Arrangement arrangement)
      : stored_(std::move(stored)), arrangement_(std::move(arrangement)), infos_(stored_->list()) {
    for (TensorInfo& info : infos_) {
      if (arrangement_.transposed.contains(info.name) && info.shape.rank() == 2)
        info.shape = Shape{info.shape[1], info.shape[0]};
      if (arrangement_.as_f32.contains(info.name)) info.dtype = DType::f32;
    }
  }
  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override { return stored_->contains(name); }
  Tensor get(std::string_view name) const override {
    const Tensor tensor =
        arrangement_.as_f32.contains(name) ? as_f32(stored_->get(name), name) : stored_->get(name);
    if (arrangement_.transposed.contains(name) && tensor.shape().rank() == 2)
      return transpose(tensor);
    const auto offset = arrangement_.offsets.find(name);
    return offset == arrangement_.offsets.end() ? tensor : shifted(tensor, offset->second);
  }
  void release(std::string_view name) const override { stored_->release(name); }
  int64_t file_bytes() const override { return stored_->file_bytes(); }

 private:
  std::unique_ptr<TensorSource> stored_;
  Arrangement arrangement_;
  std::vector<TensorInfo> infos_;
};

}  // namespace

Shape stored_shape(const ParamSpec& spec) {
  return spec.transposed ? Shape{spec.shape[1], spec.shape[0]} : spec.shape;
}

Tensor transpose(const Tensor& matrix) {
  NIBBLE_CHECK(matrix.shape().rank() == 2);
  Tensor out(matrix.dtype(), Shape{matrix.shape()[1], matrix.shape()[0]}, pages(matrix.bytes()));
  switch (size_of(matrix.dtype())) {
    case 1:
      transpose_as<uint8_t>(matrix, out);
      break;
    case 2:
      transpose_as<uint16_t>(matrix, out);
      break;
    case 4:
      transpose_as<uint32_t>(matrix, out);
      break;
    default:
      transpose_as<uint64_t>(matrix, out);
  }
  return out;
}

Tensor shifted(const Tensor& tensor, float by) {
  Tensor out = tensor.dtype() == DType::f32 ? tensor.clone() : convert(tensor, DType::f32);
  for (float& v : out.mutable_data<float>()) v += by;
  return out;
}

std::unique_ptr<TensorSource> arrange(std::unique_ptr<TensorSource> stored,
                                      Arrangement arrangement) {
  if (arrangement.transposed.empty() && arrangement.offsets.empty() && arrangement.as_f32.empty())
    return stored;
  return std::make_unique<ArrangedSource>(std::move(stored), std::move(arrangement));
}

}  // namespace nibble
