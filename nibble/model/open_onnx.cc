// A folder that nibble has written as ONNX: config.json says what it is, the initializers of
// model.onnx are its weights. The graph is for others; what is computed is what the config says.
#include <fmt/format.h>

#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/onnx_proto.h"
#include "nibble/model/architecture.h"
#include "nibble/model/config_file.h"
#include "nibble/model/file_format.h"
#include "nibble/model/onnx_parameters.h"
#include "nibble/model/stored_weights.h"

namespace nibble::onnx {
namespace {

class OnnxWeights : public WeightSource {
 public:
  OnnxWeights(std::unique_ptr<OnnxFile> file, const std::vector<ParamSpec>& table)
      : file_(std::move(file)) {
    for (const ParamSpec& p : table) {
      const OnnxWeight w = stored_onnx_weight(*file_, onnx_source(p));
      if (w.form == OnnxWeight::Form::floats && !can_be_multiplied(w.dtype))
        throw corrupt(fmt::format("expected floats, found {}", to_string(w.dtype)))
            .at("tensor " + in_quotes(p.name));
      weights_.emplace(p.name, w);
    }
  }

  Weight get(std::string_view name) const override {
    return read_onnx_weight(*file_, require(name));
  }
  StoredAs stored_as(std::string_view name) const override {
    const OnnxWeight& w = require(name);
    if (w.form == OnnxWeight::Form::floats) return {std::nullopt, w.dtype};
    return {w.scheme, DType::f32};
  }
  void release(std::string_view name) const override {
    for (const TensorInfo& i : require(name).infos()) file_->release(i.name);
  }
  int64_t file_bytes() const override { return file_->file_bytes(); }

 private:
  const OnnxWeight& require(std::string_view name) const {
    const auto found = weights_.find(name);
    if (found != weights_.end()) return found->second;
    throw not_found("no such tensor").at("tensor " + in_quotes(name));
  }
  std::unique_ptr<OnnxFile> file_;
  std::map<std::string, OnnxWeight, std::less<>> weights_;
};

// Files that were saved without the head lack the beginning of every name.
void find_prefix(DecoderConfig& config, const OnnxFile& file) {
  const std::string_view prefix = architecture(config.architecture).prefix;
  config.name_prefix = "";
  for (const TensorInfo& i : file.list()) {
    if (std::string_view(i.name).starts_with(prefix)) config.name_prefix = prefix;
  }
}

std::string model_of(const std::string& folder) { return folder + '/' + kOnnxModel; }

DecoderConfig read_decoder(const std::string& path, const OnnxFile& file,
                           std::vector<std::string>& warnings) {
  ModelConfig config = read_config(config_fields(path), warnings);
  auto* decoder = std::get_if<DecoderConfig>(&config);
  if (decoder == nullptr) throw unsupported("an MLP beside an ONNX file");
  find_prefix(*decoder, file);
  return std::move(*decoder);
}

}  // namespace

// Beside safetensors it is a copy of them.
bool is_model(const std::string& path) {
  return is_folder(path) && exists(model_of(path)) && !exists(path + "/model.safetensors") &&
         !exists(path + "/model.safetensors.index.json");
}

Model open(const std::string& path) {
  Model m;
  m.path = path;
  m.companions = of_folder(path);
  std::unique_ptr<OnnxFile> file = open_onnx_file(path);
  if (file->producer() != kOnnxProducer)
    throw unsupported(
        fmt::format("was made by {}: nibble reads the ONNX files that it wrote itself",
                    in_quotes(file->producer())))
        .in_file(model_of(path));
  const std::string config = path + "/config.json";
  const DecoderConfig decoder =
      naming_file(config, [&] { return read_decoder(config, *file, m.warnings); });
  m.config = decoder;
  naming_file(model_of(path), [&] {
    m.weights = std::make_shared<OnnxWeights>(std::move(file), parameter_table(decoder));
  });
  return m;
}

}  // namespace nibble::onnx
