#include "fuzz/as_file.h"
#include "nibble/core/error.h"
#include "nibble/model/open_llama2c.h"

// A .bin of llama2.c: every tensor that its header promises can be had, or an Error comes out.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const AsFile file(data, size);
  try {
    const nibble::ModelFolder model = nibble::open_llama2c_model(file.path());
    for (const nibble::ParamSpec& spec : parameter_table(model.config)) {
      const nibble::Weight weight = nibble::load_weight(model, spec);
      const int64_t elements = spec.is_matrix() ? nibble::rows(weight) * nibble::columns(weight)
                                                : std::get<nibble::Tensor>(weight).elements();
      if (elements != spec.shape.elements()) __builtin_trap();
      nibble::release_weight(model, spec);
    }
  } catch (const nibble::Error&) {
  }
  return 0;
}
