#include "fuzz/as_file.h"
#include "nibble/core/error.h"
#include "nibble/format/gguf_file.h"
#include "nibble/model/file_format.h"
#include "nibble/model/gguf_companions.h"

namespace {

// What an Error ends is a bad file; anything else that ends is a finding.
template <class F>
void whatever_it_says(F f) {
  try {
    f();
  } catch (const nibble::Error&) {
  }
}

void read_tensors(const std::string& path) {
  const nibble::GgufFile file = nibble::GgufFile::open(path);
  for (const auto& [key, value] : file.metadata().list()) (void)for_people(value);
  file.require_data();
  for (const nibble::GgufTensor& t : file.tensors()) {
    if (t.shape.elements() == 0) continue;
    const size_t rank = t.shape.rank();
    const int64_t columns = rank < 2 ? 1 : t.shape[rank - 1];
    whatever_it_says([&] {
      const nibble::Weight w = gguf_weight(t, {0, t.shape.elements() / columns});
      if (w.is_quantized()) (void)w.values();
    });
  }
}

// Every parameter that the metadata promise can be had.
void read_model(const std::string& path) {
  const nibble::Model model = nibble::gguf::open(path);
  for (const nibble::ParamSpec& spec : parameter_table(model.config)) {
    whatever_it_says([&] {
      const nibble::Weight weight = nibble::load_weight(model, spec);
      if (weight.shape() != spec.shape) __builtin_trap();
    });
    model.weights->release(spec.name);
  }
}

}  // namespace

// A .gguf: its header, its tensors, the model that it is and what comes with it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const AsFile file(data, size);
  whatever_it_says([&] { read_tensors(file.path()); });
  whatever_it_says([&] { read_model(file.path()); });
  whatever_it_says([&] {
    const auto companions = nibble::gguf_companions(file.path());
    (void)companions->chat_template();
    (void)companions->tokenizer()->encode("a word", true);
  });
  return 0;
}
