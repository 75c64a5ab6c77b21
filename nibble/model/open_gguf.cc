// A GGUF file as a model: everything stands in its metadata, the tokenizer and the chat template
// included.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "nibble/core/counted.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/gguf_file.h"
#include "nibble/model/architecture.h"
#include "nibble/model/file_format.h"
#include "nibble/model/gguf_companions.h"
#include "nibble/model/gguf_config.h"
#include "nibble/model/gguf_names.h"
#include "nibble/model/gguf_rope.h"
#include "nibble/model/stored_weights.h"
#include "nibble/quant/number.h"

namespace nibble::gguf {
namespace {

class GgufWeights : public WeightSource {
 public:
  GgufWeights(std::shared_ptr<const GgufFile> file, const DecoderConfig& config)
      : file_(std::move(file)) {
    const GgufArchitecture& of = *architecture(config.architecture).in_gguf;
    for (const ParamSpec& p : parameter_table(config)) {
      const GgufRows rows = gguf_rows(p, of, config.head_dim);
      const GgufTensor* scale = p.bias ? nullptr : file_->find(gguf_scale_name(p));
      parameters_.emplace(p.name, Stored{&file_->require(gguf_name(p)), rows, p.shape, scale,
                                         std::max(p.expert, 0)});
    }
  }

  Weight get(std::string_view name) const override {
    const Stored& s = require(name);
    Weight out = gguf_weight(*s.tensor, s.rows);
    if (s.scale != nullptr) multiply(out.quantized(), *s.scale, s.expert);
    if (out.is_quantized() || out.shape() == s.shape) return out;
    return out.plain().reshaped(s.shape);
  }
  StoredAs stored_as(std::string_view name) const override {
    const GgufType& type = *require(name).tensor->type;
    if (type.plain) return {std::nullopt, *type.plain, type.name};
    return {type.scheme, type.scale_dtype == DType::f16 ? DType::f16 : DType::f32, type.name};
  }
  void release(std::string_view name) const override {
    const GgufTensor& t = *require(name).tensor;
    t.file->drop(t.offset, t.bytes);
  }
  int64_t file_bytes() const override { return file_->file_bytes(); }

 private:
  struct Stored {
    const GgufTensor* tensor;
    GgufRows rows;
    Shape shape;
    const GgufTensor* scale;  // of the whole weight, null where there is none
    int expert;
  };
  // The tensor's own scale is one that others are divided by.
  static void multiply(QuantizedTensor& q, const GgufTensor& scale, int expert) {
    const float factor = gguf_weight(scale, {expert, 1}).values()[0];
    const float divisor = 1 / factor;
    if (!(factor > 0) || !std::isfinite(factor) || !std::isfinite(divisor) || divisor == 0) {
      throw corrupt(fmt::format("a scale of {}, expected one above 0", factor))
          .at("tensor " + in_quotes(scale.name));
    }
    q.super_scales = Tensor::from<float>(Shape{1}, std::array{divisor});
    validate(q);
  }
  const Stored& require(std::string_view name) const {
    const auto found = parameters_.find(name);
    if (found == parameters_.end())
      throw not_found("no such tensor").at("tensor " + in_quotes(name));
    return found->second;
  }
  std::shared_ptr<const GgufFile> file_;
  std::map<std::string, Stored, std::less<>> parameters_;
};

// The shape that a tensor must have: experts are stacked.
Shape stacked_shape(const ParamSpec& spec, int64_t experts) {
  if (spec.expert < 0) return spec.shape;
  return Shape{experts, spec.shape[0], spec.shape[1]};
}

// What multiplies a whole weight: only NVFP4 has a place for it.
void check_scale(const ParamSpec& p, const GgufTensor& weight, const DecoderConfig& config,
                 const GgufFile& file) {
  const GgufTensor* scale = p.bias ? nullptr : file.find(gguf_scale_name(p));
  if (scale == nullptr) return;
  const auto at = [&](Error e) { return std::move(e).at("tensor " + in_quotes(scale->name)); };
  const bool has_place =
      weight.type->scheme && number(*weight.type->scheme).scales->super == SuperScale::tensor;
  if (!has_place)
    throw at(unsupported(fmt::format("a scale of a whole weight in {}", weight.type->name)));
  const int64_t wanted = p.expert < 0 ? 1 : config.experts;
  if (scale->type->plain != DType::f32 || scale->shape.rank() > 1 ||
      scale->shape.elements() != wanted)
    throw at(corrupt(fmt::format("expected F32 [{}], found {} {}", wanted, scale->type->name,
                                 scale->shape.to_string())));
}

void check_parameter(const ParamSpec& p, const DecoderConfig& config, const GgufFile& file) {
  const std::string name = gguf_name(p);
  const GgufTensor* t = file.find(name);
  const auto at = [&](Error e) { return std::move(e).at("tensor " + in_quotes(name)); };
  if (t == nullptr)
    throw at(corrupt("the metadata ask for this tensor, the file does not have it"));
  const Shape wanted = stacked_shape(p, config.experts);
  if (t->shape != wanted) {
    throw at(corrupt(fmt::format("expected shape {} by the metadata, found {} (outputs first)",
                                 wanted.to_string(), t->shape.to_string())));
  }
  if (!t->type->is_readable())
    throw at(unsupported(fmt::format("{} is not read yet", t->type->name)));
  if (t->type->plain && !can_be_multiplied(*t->type->plain))
    throw at(unsupported(fmt::format("weights of {} cannot be multiplied", t->type->name)));
  if (!t->type->plain && p.shape.rank() < 2)
    throw at(unsupported(fmt::format("{} here, where only plain values are read", t->type->name)));
  check_scale(p, *t, config, file);
}

// A row of the table is a token.
void check_tokens(const GgufFile& file, const DecoderConfig& config) {
  constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
  const GgufValue* tokens = file.metadata().find(kTokens);
  if (tokens == nullptr || static_cast<int64_t>(tokens->count) == config.vocab_size) return;
  throw corrupt(fmt::format("{} tokens, but the model's table has rows for {}", tokens->count,
                            config.vocab_size))
      .at("key " + in_quotes(kTokens));
}

std::vector<std::string> unused_tensors(const DecoderConfig& config, const GgufFile& file) {
  constexpr size_t kNamed = 3;
  std::set<std::string> used{std::string(kGgufDivisors)};
  for (const ParamSpec& p : parameter_table(config)) {
    for (std::string name : {gguf_name(p), gguf_scale_name(p), gguf_input_scale_name(p)})
      used.insert(std::move(name));
  }
  std::vector<std::string> names;
  for (const GgufTensor& t : file.tensors()) {
    if (!used.contains(t.name)) names.push_back(in_quotes(t.name));
  }
  if (names.empty()) return {};
  const auto count = std::ssize(names);
  names.resize(std::min(names.size(), kNamed));
  return {fmt::format("{} in the file {} used by this architecture: {}{}", counted(count, "tensor"),
                      count == 1 ? "is not" : "are not", fmt::join(names, ", "),
                      count > std::ssize(names) ? ", ..." : "")};
}

}  // namespace

bool is_model(const std::string& path) { return !is_folder(path) && is_gguf(path); }

Model open(const std::string& path) {
  const auto file = std::make_shared<const GgufFile>(GgufFile::open(path));
  Model m;
  m.path = path;
  naming_file(path, [&] {
    m.companions = gguf_companions(file, path);
    file->require_data();
    const DecoderConfig config = read_gguf_config(*file, m.warnings);
    for (const ParamSpec& p : parameter_table(config)) check_parameter(p, config, *file);
    check_tokens(*file, config);
    if (std::string doubt = tokenizer_doubt(file->metadata()); !doubt.empty())
      m.warnings.push_back(std::move(doubt));
    for (std::string& w : unused_tensors(config, *file)) m.warnings.push_back(std::move(w));
    m.weights = std::make_shared<GgufWeights>(file, config);
    m.config = config;
  });
  return m;
}

}  // namespace nibble::gguf
