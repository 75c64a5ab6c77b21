// A llama2.c .bin file as a model: a Llama with what llama2.c has built in (RMSNorm of 1e-5,
// rope_theta 10000). No tokenizer: that is a file of its own.

#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/llama2c.h"
#include "nibble/model/file_format.h"

namespace nibble::llama2c {
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

bool is_model(const std::string& path) { return path.ends_with(".bin"); }

Model open(const std::string& path) {
  Llama2cFile file = open_llama2c(path);
  Model m;
  m.path = path;
  m.companions = of_file_in(split_path(path).folder);
  m.weights = std::move(file.weights);
  naming_file(path, [&] {
    const DecoderConfig config = config_of(file.header);
    validate(config);
    m.config = config;
  });
  return m;
}

}  // namespace nibble::llama2c
