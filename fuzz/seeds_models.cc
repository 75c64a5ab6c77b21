// Seeds of the targets that open models.
#include <cstring>

#include "fuzz/folder.h"
#include "fuzz/random_config.h"
#include "fuzz/seeds.h"
#include "nibble/core/files.h"
#include "nibble/core/random.h"
#include "nibble/quant/rtn.h"
#include "tests/support/llama2c_bytes.h"
#include "tests/support/tiny_decoders.h"

namespace {

nibble::DecoderConfig smallest(const std::string& type) {
  nibble::DecoderConfig c = nibble::tiny_decoder_config(type);
  c.vocab_size = 5;
  c.hidden_size = c.intermediate_size = c.context = 8;
  c.heads = 2;
  c.kv_heads = std::min<int64_t>(c.kv_heads, 2);
  c.head_dim = 4;
  return c;
}

// A folder's files as the parts of one input; the tensors' file without its length.
std::string parts_of_folder(const std::string& folder) {
  const std::string bytes = nibble::read_file(folder + "/model.safetensors");
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  return joined({nibble::read_file(folder + "/config.json"), R"({"eos_token_id":1})", "",
                 bytes.substr(8, length), bytes.substr(8 + length)});
}

std::string written(const nibble::ModelConfig& config) {
  const Folder folder;
  nibble::write_model(folder.path(), config, nibble::random_weights(config, 7), nullptr);
  return parts_of_folder(folder.path());
}

// Every matrix in one scheme.
std::string written(const nibble::ModelConfig& config, const std::string& scheme) {
  const Folder folder;
  const nibble::TensorMap weights = nibble::random_weights(config, 7);
  std::vector<nibble::WritableParameter> parameters;
  for (const nibble::ParamSpec& spec : parameter_table(config)) {
    const nibble::Tensor& w = weights.at(spec.name);
    nibble::WritableParameter p{.spec = spec};
    p.make = [&w] { return w; };
    if (spec.is_matrix()) {
      p.scheme = nibble::parse_scheme(scheme);
      p.dtype = nibble::DType::f16;
      p.make = [&w, s = *p.scheme] { return nibble::quantize_rtn(w, s, {}, "w"); };
    }
    parameters.push_back(p);
  }
  nibble::write_model(folder.path(), config, parameters, nullptr);
  return parts_of_folder(folder.path());
}

Seeds model_folder() {
  Seeds out{written(nibble::MlpConfig{{3, 4, 2}})};
  for (const std::string_view type : nibble::architecture_names())
    out.push_back(written(smallest(std::string(type))));
  for (const char* scheme : {"int8", "int4:g8", "nf4:g8", "mxfp4", "fp8_e4m3"})
    out.push_back(written(smallest("llama"), scheme));
  return out;
}

Seeds llama2c() {
  const nibble::DecoderConfig c = smallest("llama");
  const nibble::TensorMap weights = nibble::random_weights(c, 7);
  const auto values = [&](const std::string& name) {
    const auto v = weights.at(name).data<float>();
    return std::vector<float>(v.begin(), v.end());
  };
  Seeds out;
  for (const int version : {0, 1, 2})
    out.push_back(nibble::test::Llama2cWriter(c, values, version, version == 2 ? 4 : 0).bytes());
  return out;
}

// Of every architecture what an ordinary config says, and some with all settings drawn.
Seeds pass() {
  nibble::PyRandom random(1);
  Seeds out;
  for (size_t type = 0; type < nibble::architecture_names().size(); ++type) {
    for (const bool drawn : {false, true, true}) {
      std::string seed{static_cast<char>(random.below(256)), static_cast<char>(type)};
      for (size_t i = 0; i < key_rows().size(); ++i)
        seed += static_cast<char>(drawn ? random.below(256) : 0);
      for (int i = 0; i < 256; ++i) seed += static_cast<char>(random.below(256));
      out.push_back(seed);
    }
  }
  return out;
}

}  // namespace

std::map<std::string, Seeds> model_seeds() {
  return {{"model_folder", model_folder()},
          {"llama2c", llama2c()},
          {"pass", pass()},
          {"pass_ref", pass()}};
}
