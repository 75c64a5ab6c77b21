// Seeds of the targets that open models.
#include <cstring>

#include "fuzz/folder.h"
#include "fuzz/random_config.h"
#include "fuzz/seeds.h"
#include "nibble/core/files.h"
#include "nibble/core/random.h"
#include "nibble/format/peft_adapter.h"
#include "nibble/model/write_onnx.h"
#include "nibble/quant/rtn.h"
#include "tests/support/gguf_blocks.h"
#include "tests/support/gguf_model.h"
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

// As the target takes them apart.
std::string onnx_of(const nibble::DecoderConfig& config, const std::string& scheme) {
  const Folder folder;
  const nibble::Model model = nibble::tiny_decoder(config, 7);
  std::vector<nibble::WritableParameter> parameters;
  for (const nibble::ParamSpec& spec : parameter_table(config)) {
    nibble::WritableParameter p{.spec = spec};
    p.make = [&model, spec] { return nibble::load_weight(model, spec); };
    if (spec.is_matrix() && !scheme.empty()) {
      p.scheme = nibble::parse_scheme(scheme);
      p.make = [w = p.make().plain(), s = *p.scheme] {
        return nibble::quantize_rtn(w, s, {}, "w");
      };
    }
    parameters.push_back(p);
  }
  std::vector<std::string> warnings;
  nibble::write_onnx(model, folder.path(), parameters, warnings);
  const std::string data = folder.path() + "/model.onnx.data";
  const std::string tensors = std::filesystem::exists(data) ? nibble::read_file(data) : "";
  return joined({nibble::read_file(folder.path() + "/config.json"),
                 std::string{static_cast<char>(tensors.size() & 255),
                             static_cast<char>(tensors.size() >> 8)} +
                     tensors + nibble::read_file(folder.path() + "/model.onnx")});
}

Seeds onnx() {
  Seeds out;
  for (const char* type : {"llama", "gpt2", "opt", "gemma2"})
    out.push_back(onnx_of(smallest(type), ""));
  for (const char* scheme : {"int8", "int8:tensor:asym", "int4:g16:asym", "int2:g32"})
    out.push_back(onnx_of(smallest("llama"), scheme));
  nibble::DecoderConfig large = smallest("llama");
  large.vocab_size = 256;
  out.push_back(onnx_of(large, ""));
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

// A tokenizer for the five tokens of smallest().
void add_tokenizer(nibble::test::GgufBytes& file) {
  file.string("tokenizer.ggml.model", "llama").string("tokenizer.chat_template", "{{ messages }}");
  file.strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0x41>", "\xE2\x96\x81"});
  file.f32s("tokenizer.ggml.scores", {0, 0, 0, 0, -1});
  file.i32s("tokenizer.ggml.token_type", {2, 3, 3, 6, 1});
  file.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  file.boolean("tokenizer.ggml.add_bos_token", true);
}

// Every matrix in blocks of one type.
std::string gguf_in(const nibble::test::GgufBlockRow& row) {
  nibble::DecoderConfig c = smallest("llama");
  const nibble::GgufType& type = *nibble::find_gguf_type(row.type);
  c.hidden_size = c.intermediate_size = type.elements;
  c.head_dim = type.elements / c.heads;
  c.layers = 1;
  nibble::PyRandom random(7);
  const auto encode = [&](const nibble::ParamSpec& p) {
    if (!p.is_matrix())
      return std::pair(0u, std::string(static_cast<size_t>(4 * p.shape.elements()), '\0'));
    return std::pair(type.id, nibble::test::random_gguf_blocks(row, p.shape.elements(), random));
  };
  return nibble::test::GgufOfModel(c, encode).file().bytes();
}

Seeds gguf() {
  Seeds out;
  for (const std::string_view type : nibble::architecture_names()) {
    if (nibble::architecture(type).in_gguf == nullptr) continue;
    const nibble::DecoderConfig c = smallest(std::string(type));
    nibble::test::GgufBytes file = nibble::test::GgufOfModel(nibble::tiny_decoder(c, 7)).file();
    add_tokenizer(file);
    if (type == "llama") file.f32_tensor("rope_freqs.weight", {2}, {1, 1});
    out.push_back(file.bytes());
  }
  // A model in blocks of 256 would be a large file.
  nibble::test::GgufBytes blocks;
  nibble::PyRandom random(7);
  for (const nibble::test::GgufBlockRow& row : nibble::test::gguf_block_rows()) {
    const nibble::GgufType& type = *nibble::find_gguf_type(row.type);
    if (type.elements <= 64) out.push_back(gguf_in(row));
    blocks.tensor(std::string(row.type), {static_cast<uint64_t>(type.elements), 1}, type.id,
                  nibble::test::random_gguf_blocks(row, type.elements, random));
  }
  out.push_back(blocks.bytes());
  return out;
}

std::string adapter_parts(const nibble::PeftAdapter& adapter) {
  const Folder folder;
  nibble::write_peft_adapter(folder.path(), adapter);
  const std::string bytes = nibble::read_file(folder.path() + "/adapter_model.safetensors");
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  return joined({nibble::read_file(folder.path() + "/adapter_config.json"), bytes.substr(8, length),
                 bytes.substr(8 + length)});
}

// Of the model that the target has: by names, by a pattern, with a replaced head.
Seeds adapters() {
  nibble::PeftAdapter adapter;
  adapter.config.rank = 1;
  adapter.config.targets.list = {"q_proj"};
  const nibble::Tensor column(nibble::DType::f32, {16, 1}), row(nibble::DType::f32, {1, 16});
  adapter.pairs["model.layers.0.self_attn.q_proj"] = {row, column};
  Seeds out = {adapter_parts(adapter)};
  adapter.config.targets = {{}, ".*[01]..*(q_proj|down)"};
  adapter.config.ranks = {{"q_proj", 1}, {"down.*", 2}};
  adapter.config.alphas = {{"layers.0.*", 4}};
  adapter.config.saved = {"lm_head"};
  adapter.replaced["lm_head.weight"] = {nibble::Tensor(nibble::DType::bf16, {50, 16}), true};
  out.push_back(adapter_parts(adapter));
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
          {"gguf", gguf()},
          {"onnx", onnx()},
          {"adapter", adapters()},
          {"pass", pass()},
          {"pass_ref", pass()}};
}
