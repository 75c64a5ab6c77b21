#include "nibble/model/open_llama2c.h"

#include "nibble/core/in_file.h"
#include "nibble/format/llama2c.h"

namespace nibble {
namespace {

DecoderConfig config_of(const Llama2cHeader& h) {
  DecoderConfig c;
  c.architecture = "llama";
  c.name_prefix = "model.";
  c.vocab_size = h.vocab_size;
  c.hidden_size = h.dim;
  c.intermediate_size = h.hidden_dim;
  c.layers = h.layers;
  c.heads = h.heads;
  c.kv_heads = h.kv_heads;
  c.head_dim = h.dim / h.heads;
  c.context = h.context;
  c.norm = NormKind::rms;
  c.norm_gain = c.final_norm = true;
  c.norm_eps = 1e-5;
  c.position = PositionKind::rotary;
  c.mlp = MlpKind::silu_gated;
  c.tied = h.tied;
  return c;
}

}  // namespace

ModelFolder open_llama2c_model(const std::string& path) {
  Llama2cFile file = open_llama2c(path);
  ModelFolder m;
  m.path = path;
  m.tensors = std::move(file.tensors);
  naming_file(path, [&] {
    const DecoderConfig config = config_of(file.header);
    validate(config);
    m.config = config;
    if (file.header.group == 0) return;
    QuantScheme scheme;
    scheme.type = NumberType::int8;
    scheme.granularity = Granularity::group;
    scheme.group = file.header.group;
    for (const ParamSpec& p : parameter_table(config)) {
      if (p.is_matrix()) m.schemes.emplace(module_of(p.name), scheme);
    }
  });
  return m;
}

}  // namespace nibble
