#include "fuzz/as_file.h"
#include "nibble/core/error.h"
#include "nibble/model/file_format.h"

// A .bin of llama2.c: every tensor that its header promises can be had, or an Error comes out.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const AsFile file(data, size);
  try {
    const nibble::Model model = nibble::llama2c::open(file.path());
    for (const nibble::ParamSpec& spec : parameter_table(model.config)) {
      const nibble::Weight weight = nibble::load_weight(model, spec);
      if (weight.shape() != spec.shape) __builtin_trap();
      model.weights->release(spec.name);
    }
  } catch (const nibble::Error&) {
  }
  return 0;
}
