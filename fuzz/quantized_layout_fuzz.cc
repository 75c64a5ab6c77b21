// A quantization_config and the tensors of one weight "x", both from the fuzzer: text up to the
// first NUL, then records of a name, a dtype, a rank, extents and the bytes that are there.
#include "fuzz/bytes.h"
#include "fuzz/layout_parts.h"
#include "nibble/core/error.h"
#include "nibble/format/quantized_layout.h"

namespace {

constexpr int64_t kLargest = 1 << 16;

nibble::TensorMap tensors_of(Bytes& in) {
  nibble::TensorMap out;
  while (!in.empty()) {
    const char* name = in.of(kLayoutNames);
    const nibble::DType dtype = in.of(kLayoutTypes);
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
  const char* const scheme = in.of(kLayoutSchemes);
  const std::string config = in.text();
  const nibble::MemorySource source(tensors_of(in));
  nibble::StoredModules modules{{{"x", nibble::parse_scheme(scheme)}}};
  try {
    const nibble::MatrixModule module{"x", "Linear"};
    auto read =
        nibble::read_quantization_config(nibble::JsonFields::parse(config), {&module, 1}, source);
    if (read.schemes.contains("x")) modules = std::move(read);
  } catch (const nibble::Error&) {
  }
  try {
    const auto q =
        nibble::from_tensors(source, "x.weight", modules.schemes.at("x"), modules.layout);
    nibble::dequantize(q);
  } catch (const nibble::Error&) {
  }
  return 0;
}
