#include "fuzz/as_file.h"
#include "nibble/compress/recipe.h"
#include "nibble/core/error.h"

namespace {

std::string written(const nibble::QuantizeOptions& options) {
  nibble::JsonWriter out;
  out.begin_object();
  nibble::write_recipe(options, out);
  return out.end_object().finish();
}

nibble::QuantizeOptions read(const void* data, size_t size) {
  return nibble::read_recipe(AsFile(data, size).path());
}

}  // namespace

// A recipe, or a nibble.json that holds one: what was read is written and reads back the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text;
  try {
    text = written(read(data, size));
  } catch (const nibble::Error&) {
    return 0;
  }
  // An Error here is a finding, too.
  if (written(read(text.data(), text.size())) != text) __builtin_trap();
  return 0;
}
