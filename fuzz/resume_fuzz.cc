#include "fuzz/folder.h"
#include "fuzz/parts.h"
#include "fuzz/safetensors_bytes.h"
#include "nibble/compress/layer_store.h"
#include "nibble/core/error.h"

// What a stopped run has left: its fingerprint, the report of layer 0, the header of its tensors
// and their data. What is damaged is not taken over.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [fingerprint, report, header, tensors] = parts_of<4>(data, size);
  const Folder folder;
  folder.put("fingerprint.txt", fingerprint);
  folder.put("layer-00000.json", report);
  folder.put("layer-00000.safetensors", safetensors_bytes(header, tensors));
  std::vector<std::string> warnings;
  try {
    const nibble::FolderStore store(folder.path(), "{\"nibble_version\":\"1\"}", true, warnings);
    if (store.has(0)) (void)store.get(0, "x.weight", nibble::parse_scheme("int8"));
    (void)store.reports();
  } catch (const nibble::Error&) {
  }
  return 0;
}
