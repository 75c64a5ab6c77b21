#include "nibble/format/onnx_graph.h"

#include <fmt/format.h>

#include <array>

#include "nibble/core/atomic_file.h"
#include "nibble/core/checked.h"
#include "nibble/core/in_file.h"
#include "nibble/core/version.h"

namespace nibble {
namespace {

// DequantizeLinear has its axis since 13; nothing here is newer. IR version 8 knows it.
constexpr int64_t kOpset = 13, kIrVersion = 8;
constexpr int64_t kDataAlignment = 4096, kInlineBytes = 4096;
constexpr int64_t kMostModelBytes = INT32_MAX;  // of a message of Protocol Buffers
// AttributeProto.AttributeType.
constexpr int64_t kFloatAttribute = 1, kIntAttribute = 2, kIntsAttribute = 7;

struct TypeRow {
  OnnxType onnx;
  DType dtype;
};
constexpr TypeRow kTypes[] = {{OnnxType::f32, DType::f32}, {OnnxType::u8, DType::u8},
                              {OnnxType::i8, DType::i8},   {OnnxType::i64, DType::i64},
                              {OnnxType::f16, DType::f16}, {OnnxType::bf16, DType::bf16}};

int64_t id_of_type(OnnxType type) { return static_cast<int64_t>(type); }

std::string value_info(const OnnxValue& v) {
  ProtobufWriter shape;
  for (const auto& extent : v.shape) {
    ProtobufWriter dim;
    if (const auto* number = std::get_if<int64_t>(&extent))
      dim.integer(OnnxTypeField::dim_value, *number);
    else
      dim.text(OnnxTypeField::dim_param, std::get<std::string>(extent));
    shape.text(OnnxTypeField::dim, dim.bytes());
  }
  ProtobufWriter tensor, type, out;
  tensor.integer(OnnxTypeField::elem_type, id_of_type(v.type));
  tensor.text(OnnxTypeField::shape, shape.bytes());
  type.text(OnnxTypeField::tensor_type, tensor.bytes());
  return out.text(OnnxValueField::name, v.name).text(OnnxValueField::type, type.bytes()).bytes();
}

std::string attribute(const OnnxAttribute& a) {
  ProtobufWriter out;
  out.text(OnnxAttributeField::name, a.name);
  if (const auto* i = std::get_if<int64_t>(&a.value)) {
    out.integer(OnnxAttributeField::i, *i).integer(OnnxAttributeField::type, kIntAttribute);
  } else if (const auto* f = std::get_if<float>(&a.value)) {
    out.f32(OnnxAttributeField::f, *f).integer(OnnxAttributeField::type, kFloatAttribute);
  } else {
    for (const int64_t each : std::get<std::vector<int64_t>>(a.value))
      out.integer(OnnxAttributeField::ints, each);
    out.integer(OnnxAttributeField::type, kIntsAttribute);
  }
  return out.bytes();
}

int64_t tensor_bytes(const TensorInfo& info) { return info.shape.elements() * size_of(info.dtype); }

int64_t mappable(int64_t offset) { return ceil_div(offset, kDataAlignment) * kDataAlignment; }

ProtobufWriter tensor_head(const TensorInfo& info) {
  ProtobufWriter out;
  for (const int64_t extent : info.shape.dims()) out.integer(OnnxTensorField::dims, extent);
  out.integer(OnnxTensorField::data_type, id_of_type(*onnx_type(info.dtype)));
  out.text(OnnxTensorField::name, info.name);
  return out;
}

std::string inline_tensor(const TensorInfo& info, const Tensor& t) {
  return tensor_head(info)
      .text(OnnxTensorField::raw_data, {reinterpret_cast<const char*>(t.raw()), t.bytes()})
      .bytes();
}

std::string external_tensor(const TensorInfo& info, int64_t offset) {
  ProtobufWriter out = tensor_head(info);
  const auto entry = [&](std::string_view key, std::string_view value) {
    ProtobufWriter e;
    e.text(OnnxEntryField::key, key).text(OnnxEntryField::value, value);
    out.text(OnnxTensorField::external_data, e.bytes());
  };
  entry("location", kOnnxData);
  entry("offset", fmt::to_string(offset));
  entry("length", fmt::to_string(tensor_bytes(info)));
  return out.integer(OnnxTensorField::data_location, kOnnxExternal).bytes();
}

// The file that tensors are streamed into; there is none where all are small.
class DataFile {
 public:
  DataFile(const std::string& path, const std::vector<OnnxTensors>& tensors) {
    int64_t size = 0;
    for (const OnnxTensors& together : tensors) {
      for (const TensorInfo& info : together.infos) {
        if (tensor_bytes(info) >= kInlineBytes) size = mappable(size) + tensor_bytes(info);
      }
    }
    if (size > 0) file_.emplace(path, size);
  }
  // Returns where it lies.
  int64_t add(const Tensor& t) {
    const int64_t offset = mappable(at_);
    file_->write(std::string(static_cast<size_t>(offset - at_), '\0'));
    file_->write(std::span(t.raw(), t.bytes()));
    at_ = offset + static_cast<int64_t>(t.bytes());
    return offset;
  }
  int64_t finish() {
    if (file_) file_->commit();
    return at_;
  }

 private:
  std::optional<AtomicFile> file_;
  int64_t at_ = 0;
};

void write_tensors(const OnnxTensors& together, DataFile& data, ProtobufWriter& out) {
  const std::vector<Tensor> made = together.make();
  NIBBLE_CHECK(made.size() == together.infos.size());
  for (size_t i = 0; i < made.size(); ++i) {
    const TensorInfo& info = together.infos[i];
    NIBBLE_CHECK(made[i].dtype() == info.dtype && made[i].shape() == info.shape);
    out.text(OnnxGraphField::initializer, tensor_bytes(info) < kInlineBytes
                                              ? inline_tensor(info, made[i])
                                              : external_tensor(info, data.add(made[i])));
  }
}

}  // namespace

std::optional<OnnxType> onnx_type(DType dtype) {
  for (const TypeRow& r : kTypes) {
    if (r.dtype == dtype) return r.onnx;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of_onnx(int64_t type) {
  for (const TypeRow& r : kTypes) {
    if (id_of_type(r.onnx) == type) return r.dtype;
  }
  return std::nullopt;
}

void OnnxGraph::input(const OnnxValue& value) {
  inputs_.text(OnnxGraphField::input, value_info(value));
}
void OnnxGraph::output(const OnnxValue& value) {
  outputs_.text(OnnxGraphField::output, value_info(value));
}

void OnnxGraph::node(std::string_view op, std::span<const std::string> inputs,
                     std::span<const std::string> outputs,
                     std::span<const OnnxAttribute> attributes) {
  const size_t dot = op.rfind('.');
  const std::string_view domain = dot == std::string_view::npos ? "" : op.substr(0, dot);
  domains_.emplace(domain);
  ProtobufWriter out;
  for (const std::string& name : inputs) out.text(OnnxNodeField::input, name);
  for (const std::string& name : outputs) out.text(OnnxNodeField::output, name);
  out.text(OnnxNodeField::name, outputs.front());
  out.text(OnnxNodeField::op_type, op.substr(dot + 1));
  for (const OnnxAttribute& a : attributes) out.text(OnnxNodeField::attribute, attribute(a));
  if (!domain.empty()) out.text(OnnxNodeField::domain, domain);
  nodes_.text(OnnxGraphField::node, out.bytes());
}

std::string OnnxGraph::fresh(std::string_view of) {
  return fmt::format("{}/{}_{}", scope_, of, names_++);
}

std::string OnnxGraph::value(std::string_view op, std::vector<std::string> inputs,
                             std::vector<OnnxAttribute> attributes) {
  std::string out = fresh(op.substr(op.rfind('.') + 1));
  node(op, inputs, std::array{out}, attributes);
  return out;
}

std::string OnnxGraph::constant(const Tensor& t) {
  const std::string key =
      fmt::format("{} {} {}", to_string(t.dtype()), t.shape().to_string(),
                  std::string_view(reinterpret_cast<const char*>(t.raw()), t.bytes()));
  const auto [found, added] =
      constants_.emplace(key, fmt::format("constants/{}", constants_.size()));
  if (added) add({{{found->second, t.dtype(), t.shape()}}, [t] { return std::vector{t}; }});
  return found->second;
}

std::string OnnxGraph::constant(float value) {
  return constant(Tensor::from<float>(Shape{}, std::array{value}));
}
std::string OnnxGraph::constant(int64_t value) {
  return constant(Tensor::from<int64_t>(Shape{}, std::array{value}));
}
std::string OnnxGraph::constant(std::span<const float> values) {
  return constant(Tensor::from<float>(Shape{std::ssize(values)}, values));
}
std::string OnnxGraph::constant(std::vector<int64_t> values) {
  return constant(Tensor::from<int64_t>(Shape{std::ssize(values)}, values));
}

std::string OnnxGraph::opsets() const {
  ProtobufWriter out;
  for (const std::string& domain : domains_) {
    ProtobufWriter opset;
    opset.text(OnnxOpsetField::domain, domain)
        .integer(OnnxOpsetField::version, domain.empty() ? kOpset : 1);
    out.text(OnnxModelField::opset, opset.bytes());
  }
  return out.bytes();
}

int64_t OnnxGraph::write(const std::string& folder) const {
  DataFile data(folder + '/' + kOnnxData, tensors_);
  ProtobufWriter initializers;
  for (const OnnxTensors& together : tensors_) write_tensors(together, data, initializers);
  ProtobufWriter name, model;
  name.text(OnnxGraphField::name, "decoder");
  model.integer(OnnxModelField::ir_version, kIrVersion);
  model.text(OnnxModelField::producer_name, kOnnxProducer);
  model.text(OnnxModelField::producer_version, version());
  model.text(OnnxModelField::graph, nodes_.bytes() + name.bytes() + initializers.bytes() +
                                        inputs_.bytes() + outputs_.bytes());
  const std::string text = model.bytes() + opsets();
  const std::string path = folder + '/' + kOnnxModel;
  if (std::ssize(text) > kMostModelBytes)
    throw unsupported("what is not kept beside it takes more than 2 GiB").in_file(path);
  const int64_t bytes = data.finish() + std::ssize(text);
  AtomicFile file(path, std::ssize(text));
  file.write(text);
  file.commit();
  return bytes;
}

}  // namespace nibble
