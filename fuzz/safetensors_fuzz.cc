#include "fuzz/as_file.h"
#include "fuzz/safetensors_bytes.h"
#include "nibble/core/error.h"
#include "nibble/format/safetensors.h"

namespace {

// The first byte says whether the rest is a whole file or a header, and then how many bytes of data
// are behind it.
std::string file_of(const uint8_t* data, size_t size) {
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) return rest;
  return safetensors_bytes(rest, std::string(data[0] / 2, 'x'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes = file_of(data, size);
  const AsFile file(bytes.data(), bytes.size());
  try {
    const auto source = nibble::open_safetensors(file.path());
    for (const auto& info : source->list()) {
      const nibble::Tensor tensor = source->get(info.name);
      volatile uint8_t sum = 0;
      for (size_t i = 0; i < tensor.bytes(); ++i)
        sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(tensor.raw()[i]));
    }
  } catch (const nibble::Error&) {
  }
  return 0;
}
