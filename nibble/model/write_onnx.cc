#include "nibble/model/write_onnx.h"

#include <utility>

#include "nibble/core/atomic_file.h"
#include "nibble/core/in_file.h"
#include "nibble/model/onnx_decoder.h"
#include "nibble/model/onnx_genai.h"

namespace nibble {
namespace {

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path, std::ssize(text));
  file.write(text);
  file.commit();
}

}  // namespace

void require_onnx(const Model& original, const std::vector<WritableParameter>& parameters) {
  naming_file(original.path, [&] {
    require_onnx_decoder(original.decoder_config());
    for (const WritableParameter& p : parameters) (void)onnx_weight_of(p);
  });
}

bool fits_onnx(const ParamSpec& spec, const QuantScheme& scheme) {
  try {
    (void)onnx_weight_of({spec, scheme, DType::f32, nullptr});
    return true;
  } catch (const Error&) {
    return false;
  }
}

int64_t write_onnx(const Model& original, const std::string& folder,
                   const std::vector<WritableParameter>& parameters,
                   std::vector<std::string>& warnings) {
  require_onnx(original, parameters);
  const DecoderConfig& config = original.decoder_config();
  const std::string config_text = config_without_quantization(original),
                    genai = genai_config(original);
  OnnxGraph graph;
  const OnnxParameters in_graph(graph, parameters);
  OnnxDecoder(config, in_graph, graph).add();
  const int64_t bytes = graph.write(folder);
  write_file(folder + "/config.json", config_text);
  if (original.companions != nullptr) {
    for (std::string& line : original.companions->carry(folder))
      warnings.push_back(std::move(line));
  }
  write_file(folder + "/genai_config.json", genai);
  return bytes;
}

}  // namespace nibble
