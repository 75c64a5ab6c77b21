#include <zlib.h>

#include "fuzz/as_file.h"
#include "nibble/core/error.h"
#include "nibble/train/checkpoint.h"

namespace {

// The first byte says whether the rest gets the checksum that it needs to be looked at further.
std::string file_of(const uint8_t* data, size_t size) {
  std::string out(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) return out;
  const auto crc = static_cast<uint32_t>(crc32_z(0, data + 1, size - 1));
  return out.append(reinterpret_cast<const char*>(&crc), sizeof crc);
}

}  // namespace

// A checkpoint of a training run of three parameters, as the seed has it, or an Error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes = file_of(data, size);
  const AsFile file(bytes.data(), bytes.size());
  try {
    const nibble::Checkpoint c = nibble::read_checkpoint(file.path(), "options", 1, 3);
    float sum = 0;
    for (const auto& values : {c.losses, c.weights, c.first, c.second})
      for (const float v : values) sum += v;
    volatile float kept = sum;
    (void)kept;
    if (c.step != std::ssize(c.losses) || c.weights.size() != 3) __builtin_trap();
  } catch (const nibble::Error&) {
  }
  return 0;
}
