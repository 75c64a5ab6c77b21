#include "fuzz/folder.h"
#include "fuzz/parts.h"
#include "fuzz/safetensors_bytes.h"
#include "nibble/core/error.h"
#include "nibble/eval/generation_config.h"
#include "nibble/model/carry_over.h"
#include "nibble/model/model.h"

namespace {

// Some tokens, one behind another, of a decoder; one row of an MLP.
void run(const nibble::Model& model) {
  if (std::holds_alternative<nibble::MlpConfig>(model.config)) {
    const nibble::Mlp mlp = nibble::load_mlp(model);
    (void)mlp.forward(std::vector<float>(static_cast<size_t>(mlp.config().sizes[0]), 1), 1, {});
    return;
  }
  (void)nibble::read_generation_defaults(model);
  const nibble::Decoder decoder = nibble::load_decoder(model);
  nibble::KvCache cache = decoder.make_cache(3);
  for (int i = 0; i < 3; ++i) {
    const int32_t id = 0;
    (void)decoder.forward({&id, 1}, cache, nibble::Decoder::Logits::last, nibble::Exec{});
  }
}

}  // namespace

// config.json, generation_config.json, the index of shards, the header of the tensors' file (of the
// only shard, where there is an index) and their data.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [config, generation, index, header, tensors] = parts_of<5>(data, size);
  const Folder folder;
  folder.put("config.json", config);
  folder.put("generation_config.json", generation);
  folder.put("model.safetensors.index.json", index);
  folder.put(index.empty() ? "model.safetensors" : "a.safetensors",
             safetensors_bytes(header, tensors));
  try {
    const nibble::Model model = nibble::open_model(folder.path());
    (void)nibble::carry_config(config, [](nibble::JsonWriter&) {});
    run(model);
  } catch (const nibble::Error&) {
  }
  return 0;
}
