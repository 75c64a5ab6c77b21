#include "nibble/model/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "nibble/core/error.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

bool is_adapter(std::string_view file) {
  return file.starts_with("adapter_model.") || file == "adapter_config.json";
}

// Weights of a model, in formats that nibble does not read as well; not what trainers leave beside
// an adapter (training_args.bin, optimizer.pt).
bool is_model(std::string_view file) {
  if (is_adapter(file)) return false;
  if (file.ends_with(".safetensors") || file.ends_with(".gguf")) return true;
  const bool other = file.ends_with(".bin") || file.ends_with(".pth") || file.ends_with(".pt");
  return other && (file.starts_with("pytorch_model") || file.starts_with("model") ||
                   file.starts_with("consolidated"));
}

Error not_alone(const std::string& what) {
  return unsupported(
      fmt::format("{} is a LoRA adapter, not a model: merge it into its base (`nibble merge`), or "
                  "name the base and give it as `adapter`",
                  what));
}

}  // namespace

std::string adapter_beside(const std::string& folder) {
  std::string adapter;
  bool model = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    model = model || is_model(name);
    if (is_adapter(name)) adapter = std::max(adapter, name);  // adapter_model.* before its config
  }
  if (!adapter.empty() && !model) throw not_alone(adapter).in_file(folder);
  return adapter;
}

void refuse_adapter(const TensorSource& tensors) {
  for (const TensorInfo& t : tensors.list()) {
    if (t.name.find(".lora_A.") != std::string::npos) throw not_alone("this");
  }
}

}  // namespace nibble
