// A GGUF file as a model: everything stands in its metadata, the tokenizer and the chat template
// included.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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
#include "nibble/model/stored_weights.h"

namespace nibble::gguf {
namespace {

class GgufWeights : public WeightSource {
 public:
  GgufWeights(std::shared_ptr<const GgufFile> file, const DecoderConfig& config)
      : file_(std::move(file)) {
    const GgufArchitecture& of = *architecture(config.architecture).in_gguf;
    for (const ParamSpec& p : parameter_table(config)) {
      const GgufRows rows = gguf_rows(p, of, config.head_dim);
      parameters_.emplace(p.name, Stored{&file_->require(gguf_name(p)), rows, p.shape});
    }
  }

  Weight get(std::string_view name) const override {
    const Stored& s = require(name);
    Weight out = gguf_weight(*s.tensor, s.rows);
    if (out.is_quantized() || out.shape() == s.shape) return out;
    return out.plain().reshaped(s.shape);
  }
  StoredAs stored_as(std::string_view name) const override {
    const GgufType& type = *require(name).tensor->type;
    if (type.plain) return {std::nullopt, *type.plain};
    return {type.scheme, type.scale_dtype == DType::f16 ? DType::f16 : DType::f32};
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
  };
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
}

std::vector<std::string> unused_tensors(const DecoderConfig& config, const GgufFile& file) {
  constexpr size_t kNamed = 3;
  std::set<std::string> used{"rope_freqs.weight"};
  for (const ParamSpec& p : parameter_table(config)) used.insert(gguf_name(p));
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
    const DecoderConfig config = read_gguf_config(*file, m.warnings);
    for (const ParamSpec& p : parameter_table(config)) check_parameter(p, config, *file);
    file->require_data();
    for (std::string& w : unused_tensors(config, *file)) m.warnings.push_back(std::move(w));
    m.weights = std::make_shared<GgufWeights>(file, config);
    m.config = config;
  });
  return m;
}

}  // namespace nibble::gguf
