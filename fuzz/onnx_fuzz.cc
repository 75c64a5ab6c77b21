#include "fuzz/folder.h"
#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/format/onnx_file.h"
#include "nibble/model/file_format.h"

namespace {

// What an Error ends is a bad file; anything else that ends is a finding.
template <class F>
void whatever_it_says(F f) {
  try {
    f();
  } catch (const nibble::Error&) {
  }
}

void read_tensors(const std::string& folder) {
  const auto file = nibble::open_onnx_file(folder);
  for (const nibble::TensorInfo& i : file->list()) {
    const nibble::Tensor t = file->get(i.name);
    if (t.shape() != i.shape) __builtin_trap();
    if (t.bytes() > 0) (void)t.clone();
    file->release(i.name);
  }
}

// Every parameter that config.json promises can be had.
void read_model(const std::string& folder) {
  const nibble::Model model = nibble::onnx::open(folder);
  for (const nibble::ParamSpec& spec : parameter_table(model.config)) {
    whatever_it_says([&] {
      const nibble::Weight weight = nibble::load_weight(model, spec);
      if (weight.shape() != spec.shape) __builtin_trap();
      (void)weight.values();
    });
    model.weights->release(spec.name);
  }
}

}  // namespace

// config.json, a zero byte, two bytes that say how long the file of the tensors is, that file,
// model.onnx.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [config, rest] = parts_of<2>(data, size);
  if (rest.size() < 2) return 0;
  const size_t said = static_cast<uint8_t>(rest[0]) + 256u * static_cast<uint8_t>(rest[1]);
  const std::string_view files = rest.substr(2);
  const size_t length = std::min(said, files.size());
  const Folder folder;
  folder.put("config.json", config);
  folder.put("model.onnx.data", files.substr(0, length));
  folder.put("model.onnx", files.substr(length));
  whatever_it_says([&] { read_tensors(folder.path()); });
  whatever_it_says([&] { read_model(folder.path()); });
  return 0;
}
