// Seeds of the targets that read one file of bytes.
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fuzz/folder.h"
#include "fuzz/layout_parts.h"
#include "fuzz/seeds.h"
#include "nibble/compress/layer_store.h"
#include "nibble/compress/recipe.h"
#include "nibble/core/files.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/quant/rtn.h"
#include "nibble/train/checkpoint.h"
#include "tests/support/importance_bytes.h"

namespace {

namespace test = nibble::test;

Seeds safetensors() {
  const std::string two = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],
"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  return {static_cast<char>(1 | 19 << 1) + two, "\1{}", std::string("\0\2\0\0\0\0\0\0\0{}", 11)};
}

std::string gzipped(const std::string& text) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  if (deflateInit2(&stream, 9, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(text.size() + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Seeds idx() {
  const std::string images =
      std::string("\0\0\10\3\0\0\0\2\0\0\0\3\0\0\0\4", 16) + std::string(24, 'x');
  const std::string labels = std::string("\0\0\10\1\0\0\0\2", 8) + "\1\2";
  return {images, labels, gzipped(images), gzipped(labels)};
}

template <class List, class Value>
char place_in(const List& list, const Value& value) {
  const auto found = std::find(std::begin(list), std::end(list), value);
  if (found == std::end(list)) std::abort();
  return static_cast<char>(found - std::begin(list));
}

// One record of the target's input: extents are a * (1 + b).
std::string record(const std::string& name, const nibble::Tensor& t) {
  std::string out{place_in(kLayoutNames, name), place_in(kLayoutTypes, t.dtype()),
                  static_cast<char>(t.shape().rank())};
  for (size_t i = 0; i < t.shape().rank(); ++i) {
    out += static_cast<char>(t.shape()[i]);
    out += '\0';
  }
  return out.append(reinterpret_cast<const char*>(t.raw()), t.bytes());
}

nibble::QuantizedTensor quantized(const std::string& scheme) {
  nibble::Tensor w(nibble::DType::f32, nibble::Shape{4, 32});
  float value = -1;
  for (float& v : w.mutable_data<float>()) v = value += 0.013f;
  return nibble::quantize_rtn(w, nibble::parse_scheme(scheme), {}, "x.weight");
}

bool is_named(const std::string& name) {
  return std::find(std::begin(kLayoutNames), std::end(kLayoutNames), name) !=
         std::end(kLayoutNames);
}

// 32 inputs in two groups and 8 outputs, as GPTQ and AWQ pack them; all codes are 0.
std::string packed_words(const std::string& config, int64_t rows, int64_t columns) {
  using nibble::DType, nibble::Shape, nibble::Tensor;
  Tensor order(DType::i32, Shape{32});
  for (int32_t i = 0; i < 32; ++i) order.mutable_data<int32_t>()[static_cast<size_t>(i)] = i / 16;
  return std::string(1, '\0') + "{\"quantization_config\": " + config + "}" + '\0' +
         record("x.qweight", Tensor(DType::i32, Shape{rows, columns})) +
         record("x.qzeros", Tensor(DType::i32, Shape{2, 1})) +
         record("x.scales", Tensor(DType::f16, Shape{2, 8})) + record("x.g_idx", order);
}

// A config in front of the tensors of 4 outputs and 32 inputs.
std::string foreign(const std::string& config, const nibble::TensorMap& tensors) {
  std::string out = std::string(1, '\0') + config + '\0';
  for (const auto& [name, tensor] : tensors) out += record(name, tensor);
  return out;
}

std::string fp8(const std::string& more, nibble::DType scales, const nibble::Shape& blocks) {
  using nibble::DType, nibble::Shape, nibble::Tensor;
  return foreign(R"({"quantization_config": {"quant_method": "fp8", )" + more + "}}",
                 {{"x.weight", Tensor(DType::f8_e4m3, Shape{4, 32})},
                  {"x.weight_scale_inv", Tensor(scales, blocks)}});
}

std::string bitsandbytes_int8() {
  using nibble::DType, nibble::Shape, nibble::Tensor;
  return foreign(R"({"quantization_config": {"load_in_8bit": true, "llm_int8_threshold": 6.0}})",
                 {{"x.weight", Tensor(DType::i8, Shape{4, 32})},
                  {"x.SCB", Tensor(DType::f32, Shape{4})},
                  {"x.weight_format", Tensor(DType::u8, Shape{})}});
}

std::string mlx(const std::string& settings, int64_t words, nibble::DType scales, int64_t groups) {
  using nibble::DType, nibble::Shape, nibble::Tensor;
  return foreign(R"({"quantization": {)" + settings + "}}",
                 {{"x.weight", Tensor(DType::u32, Shape{4, words})},
                  {"x.scales", Tensor(scales, Shape{4, groups})},
                  {"x.biases", Tensor(scales, Shape{4, groups})}});
}

Seeds quantized_layout() {
  using nibble::DType, nibble::Shape;
  Seeds out{
      fp8(R"("weight_block_size": [3, 16], "activation_scheme": "dynamic")", DType::f32, {2, 2}),
      fp8(R"("weight_block_size": [1, 8], "scale_fmt": "ue8m0")", DType::u8, {4, 4}),
      fp8(R"("weight_block_size": null, "fmt": "e4m3")", DType::bf16, {1}),
      bitsandbytes_int8(),
      mlx(R"("group_size": 32, "bits": 3)", 3, DType::f16, 1),
      mlx(R"("bits": 4, "y": false, "x": {"bits": 8, "group_size": 32})", 8, DType::f32, 1),
      mlx(R"("mode": "nvfp4", "bits": 4, "group_size": 16)", 4, DType::u8, 2),
      mlx(R"("mode": "mxfp8", "x": true)", 8, DType::u8, 1),
      packed_words(R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": false})", 4, 8),
      packed_words(R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": false,
                             "checkpoint_format": "gptq_v2", "dynamic": {"+:x": {"bits": 4}}})",
                   4, 8),
      packed_words(R"({"quant_method": "awq", "bits": 4, "group_size": 16})", 32, 1)};
  for (const char* scheme : kLayoutSchemes) {
    const auto q = quantized(scheme);
    nibble::JsonWriter config;
    config.begin_object().key("quantization_config");
    const nibble::SchemeMap schemes{{"x", q.scheme}};
    nibble::write_quantization_config(schemes, {}, nibble::layout_that_says(schemes), config);
    std::string seed =
        place_in(kLayoutSchemes, std::string(scheme)) + config.end_object().finish() + '\0';
    for (const auto& t : nibble::to_tensors("x.weight", q))
      if (is_named(t.name)) seed += record(t.name, t.tensor);
    out.push_back(seed);
  }
  return out;
}

Seeds checkpoint() {
  const Folder folder;
  const std::vector<float> losses{3, 2}, values{1, 2, 3};
  nibble::Checkpoint c;
  c.options = "options";
  c.data_hash = 1;
  c.step = 2;
  c.losses = losses;
  c.weights = c.first = c.second = values;
  nibble::write_checkpoint(folder.path() + "/c", c, false);
  const std::string bytes = nibble::read_file(folder.path() + "/c");
  return {'\0' + bytes, '\1' + bytes.substr(0, bytes.size() - sizeof(uint32_t))};
}

// The file behind its length of 8 bytes: header and data.
std::string split_safetensors(const std::string& bytes) {
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  return joined({bytes.substr(8, length), bytes.substr(8 + length)});
}

Seeds resume() {
  const Folder folder;
  const std::string fingerprint = R"({"nibble_version":"1"})";
  std::vector<std::string> warnings;
  const std::string place = folder.path() + "/resume";
  nibble::FolderStore store(place, fingerprint, false, warnings);
  store.put(0, {{"x.weight", quantized("int8"), {"x.weight", 0.1, 0.2, 0.01, true, "note"}}});
  return {joined({fingerprint, nibble::read_file(place + "/layer-00000.json"),
                  split_safetensors(nibble::read_file(place + "/layer-00000.safetensors"))})};
}

Seeds importance() {
  const std::vector<test::ImportanceRow> rows{{"blk.0.attn_q.weight", {1, 2}, {3}},
                                              {"blk.0.ffn_up_exps.weight", {1, 2, 3, 4}, {5, 6}}};
  return {test::importance_dat(rows), test::importance_dat_entries(rows),
          test::importance_gguf(rows).bytes()};
}

Seeds recipe() {
  nibble::QuantizeOptions options;
  options.scheme = nibble::parse_scheme("int4:g32");
  options.keep = {nibble::parse_keep_rule("*.head=f16"), nibble::parse_keep_rule("a")};
  options.set = {nibble::parse_set_rule("*=int8")};
  options.also = {"lm_head"};
  nibble::JsonWriter out;
  out.begin_object();
  nibble::write_recipe(options, out);
  return {out.end_object().finish(), R"({"scheme":"nf4","method":"gptq","keep":["*"]})"};
}

}  // namespace

std::map<std::string, Seeds> file_seeds() {
  return {{"safetensors", safetensors()},
          {"idx", idx()},
          {"quantized_layout", quantized_layout()},
          {"checkpoint", checkpoint()},
          {"resume", resume()},
          {"importance", importance()},
          {"recipe", recipe()}};
}
