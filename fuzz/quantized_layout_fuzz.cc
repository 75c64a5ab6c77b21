// A quantization_config and the tensors of one weight "x", both from the fuzzer: text up to the
// first NUL, then records of a name, a dtype, a rank, extents and the bytes that are there.
#include <algorithm>
#include <cstring>

#include "nibble/core/error.h"
#include "nibble/format/quantized_layout.h"

namespace {

constexpr const char* kNames[] = {
    "x.weight",
    "x.weight_packed",
    "x.weight_scale",
    "x.weight_shape",
    "x.weight_zero_point",
    "x.weight_global_scale",
    "x.weight.absmax",
    "x.weight.quant_map",
    "x.weight.nested_absmax",
    "x.weight.nested_quant_map",
    "x.weight.quant_state.bitsandbytes__nf4",
    "x.weight.quant_state.bitsandbytes__fp4",
};
constexpr nibble::DType kTypes[] = {
    nibble::DType::u8,  nibble::DType::i8,      nibble::DType::i32,
    nibble::DType::i64, nibble::DType::f16,     nibble::DType::bf16,
    nibble::DType::f32, nibble::DType::f8_e4m3, nibble::DType::f8_e5m2,
};
constexpr const char* kSchemes[] = {"int4:g32:asym", "int8:a8", "int3",   "fp8_e4m3", "fp8_e5m2",
                                    "mxfp4",         "nvfp4",   "nf4",    "fp4:g32",  "ternary",
                                    "int8:tensor",   "nf4:g8",  "int2:g4"};
constexpr int64_t kLargest = 1 << 16;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  std::string text() {
    const auto* end = static_cast<const uint8_t*>(std::memchr(data_, 0, size_));
    const size_t length = end == nullptr ? size_ : static_cast<size_t>(end - data_);
    std::string out(reinterpret_cast<const char*>(data_), length);
    const size_t taken = std::min(size_, length + 1);
    data_ += taken;
    size_ -= taken;
    return out;
  }
  void fill(std::byte* to, size_t count) {
    for (size_t i = 0; i < count && size_ > 0; ++i) to[i] = static_cast<std::byte>(next());
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

nibble::TensorMap tensors_of(Bytes& in) {
  nibble::TensorMap out;
  while (!in.empty()) {
    const char* name = kNames[in.next() % std::size(kNames)];
    const nibble::DType dtype = kTypes[in.next() % std::size(kTypes)];
    std::vector<int64_t> dims(in.next() % 4);
    int64_t elements = 1;
    for (int64_t& d : dims) elements *= d = in.next() * int64_t{1 + in.next() % 4};
    if (elements > kLargest) continue;
    nibble::Tensor tensor(dtype, nibble::Shape(dims));
    in.fill(tensor.mutable_raw(), tensor.bytes());
    out.insert_or_assign(name, tensor);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Bytes in(data, size);
  const uint8_t chosen = in.next();
  const std::string config = in.text();
  const nibble::MemorySource source(tensors_of(in));
  nibble::SchemeMap schemes{{"x", nibble::parse_scheme(kSchemes[chosen % std::size(kSchemes)])}};
  try {
    const nibble::MatrixModule module{"x", "Linear"};
    auto read =
        nibble::read_quantization_config(nibble::JsonFields::parse(config), {&module, 1}, source);
    if (read.contains("x")) schemes = std::move(read);
  } catch (const nibble::Error&) {
  }
  try {
    const auto q = nibble::from_tensors(source, "x.weight", schemes.at("x"));
    nibble::dequantize(q);
  } catch (const nibble::Error&) {
  }
  return 0;
}
