#include "nibble/compress/model_output.h"

#include <utility>

#include "nibble/core/atomic_file.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/version.h"
#include "nibble/model/write_gguf.h"
#include "nibble/model/write_onnx.h"

namespace nibble {
namespace {

void require_written(const ModelOutput::Contents& contents, const Model& written,
                     const Exec& exec) {
  contents.check.require_same(written, exec);
  if (contents.verify) contents.verify(written);
}

}  // namespace

void refuse_existing(const std::string& out, bool force) {
  if (!force && exists(out))
    throw cannot_create("exists already; use `force` to replace it").in_file(out);
}

ModelOutput::ModelOutput(const OutputTarget& target, bool force, AtomicFolder* folder)
    : target_(target) {
  if (target.format.in_gguf)
    refuse_existing(target.path, force);
  else
    folder_ = folder != nullptr ? folder : &own_.emplace(target.path, force);
}

int64_t ModelOutput::write(const Contents& contents,
                           const std::function<std::string(int64_t bytes)>& provenance,
                           std::vector<std::string>& warnings, const Exec& exec) {
  const Model& model = contents.model;
  if (folder_ == nullptr) {
    const GgufProvenance about{"nibble " + std::string(version()), provenance(0), contents.type};
    const auto look = [&](const Model& written) {
      require_written(contents, written, exec);
      std::string other = tokenizer_difference(model, written);
      if (!other.empty()) warnings.push_back(std::move(other));
    };
    return write_gguf(model, target_.path, contents.parameters, about, warnings, look);
  }
  const int64_t bytes = target_.format.in_onnx
                            ? write_onnx(model, folder_->path(), contents.parameters, warnings)
                            : write_model_like(model, folder_->path(), contents.parameters,
                                               warnings, target_.format.layout);
  require_written(contents, open_model(folder_->path()), exec);
  AtomicFile file(folder_->path() + "/nibble.json");
  file.write(provenance(bytes));
  file.commit();
  folder_->commit();
  return bytes;
}

}  // namespace nibble
