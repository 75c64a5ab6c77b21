#include "nibble/model/config_file.h"

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/format/recognise.h"
#include "nibble/model/architecture.h"
#include "nibble/model/config_keys.h"
#include "nibble/model/mlp.h"
#include "nibble/model/text_part.h"

namespace nibble {

JsonFields config_fields(const std::string& path) {
  constexpr int64_t kConfigLimit = 1 << 20;
  const std::string text = read_file(path, kConfigLimit);
  refuse_other_text(text, "the config of a model");
  return JsonFields::parse(text_part(text));
}

ModelConfig read_config(const JsonFields& fields, std::vector<std::string>& warnings) {
  const std::string type = fields.string("model_type");
  std::span<const std::string_view> harmless;
  ModelConfig config;
  if (type == "mlp") {
    config = read_mlp_config(fields);
  } else {
    config = architecture(type).read_config(fields);
    validate(std::get<DecoderConfig>(config));
    harmless = architecture(type).harmless_keys;
  }
  for (std::string& w : check_other_keys(fields, type, harmless)) warnings.push_back(std::move(w));
  return config;
}

DecoderConfig read_decoder_config(const std::string& path, std::vector<std::string>& warnings) {
  return naming_file(path, [&] {
    const JsonFields fields = config_fields(path);
    if (fields.contains("quantization_config"))
      throw unsupported("a model is quantized when it is trained: leave this out")
          .at("key \"quantization_config\"");
    const ModelConfig config = read_config(fields, warnings);
    const auto* decoder = std::get_if<DecoderConfig>(&config);
    if (decoder == nullptr) throw unsupported("an MLP is trained by the preset mlp");
    DecoderConfig out = *decoder;
    out.name_prefix = architecture(out.architecture).prefix;
    return out;
  });
}

}  // namespace nibble
