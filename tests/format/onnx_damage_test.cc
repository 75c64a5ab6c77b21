// ONNX files cut anywhere, with any bit flipped, and with what a hostile one would say: an Error or
// what still makes sense, never a crash, and no file that is none of the folder's.
#include <gtest/gtest.h>

#include <array>

#include "nibble/core/protobuf_writer.h"
#include "nibble/format/onnx_file.h"
#include "nibble/format/onnx_graph.h"
#include "nibble/format/onnx_weight.h"
#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;
using test::get_file;
using test::put_file;

Tensor ramp(Shape shape) {
  Tensor out(DType::f32, std::move(shape));
  float value = -1;
  for (float& v : out.mutable_data<float>()) v = value += 0.013f;
  return out;
}

// A weight of every form: inside the model, and one that lies beside it.
std::vector<OnnxSource> sources() {
  return {{"plain", Shape{2, 3}},
          {"table", Shape{4, 3}, std::nullopt, DType::f16, true},
          {"bytes", Shape{4, 8}, parse_scheme("int8:asym")},
          {"tensor", Shape{2, 8}, parse_scheme("int8:tensor")},
          {"blocks", Shape{2, 32}, parse_scheme("int4:g16:asym")},
          {"large", Shape{32, 64}}};
}

OnnxGraph graph_of(const std::vector<OnnxSource>& all) {
  OnnxGraph out;
  for (const OnnxSource& s : all) {
    const OnnxWeight w = onnx_weight(s);
    out.add({w.infos(), [w, s] {
               const Tensor x = ramp(s.shape);
               return onnx_tensors(
                   w, s.scheme ? Weight(quantize_rtn(x, *s.scheme, {}, s.name)) : Weight(x));
             }});
  }
  const std::array in{std::string("plain")}, to{std::string("y")};
  out.node("Identity", in, to);
  out.input({"x", OnnxType::f32, {int64_t{1}, "n"}});
  out.output({"y", OnnxType::f32, {}});
  return out;
}

class OnnxDamage : public testing::Test {
 protected:
  OnnxDamage() { graph_of(sources()).write(folder_.path()); }
  std::string model() const { return get_file(folder_ / "model.onnx"); }
  void put(std::string_view bytes) const { put_file(folder_ / "model.onnx", bytes); }
  // Everything that can be asked of the files.
  void read_all() const {
    const auto file = open_onnx_file(folder_.path());
    for (const TensorInfo& i : file->list()) (void)file->get(i.name).clone();
    for (const OnnxSource& s : sources()) {
      const OnnxWeight w = stored_onnx_weight(*file, s);
      const Weight weight = read_onnx_weight(*file, w);
      EXPECT_EQ(weight.shape(), s.shape);
      if (weight.is_quantized()) (void)weight.values();
    }
  }
  std::string kind_of(std::string_view bytes) const {
    put(bytes);
    return test::kind_of([&] { read_all(); });
  }
  // A model whose only tensor is what the fields say.
  void put_tensor(const std::string& tensor) const {
    ProtobufWriter graph, model;
    graph.text(OnnxGraphField::initializer, tensor);
    put(model.text(OnnxModelField::graph, graph.bytes()).bytes());
  }
  void expect_refused(const std::string& tensor, std::string_view words) const {
    put_tensor(tensor);
    expect_error(test::bad_file(), words, [&] { (void)open_onnx_file(folder_.path()); });
  }
  test::TempFolder folder_;
};

TEST_F(OnnxDamage, CutAnywhereIsRefused) {
  const std::string whole = model();
  EXPECT_EQ(kind_of(whole), "");
  // What stands behind the graph says only which operators it is made of.
  const size_t end = whole.find("decoder");
  ASSERT_NE(end, std::string::npos);
  size_t refused = 0;
  for (size_t size = 0; size < whole.size(); ++size)
    refused += !kind_of(whole.substr(0, size)).empty();
  EXPECT_GE(refused, whole.size() - 8);
}

TEST_F(OnnxDamage, AnyBitFlippedIsRefusedOrRead) {
  std::string bytes = model();
  size_t refused = 0;
  for (size_t i = 0; i < 8 * bytes.size(); ++i) {
    const char bit = static_cast<char>(1 << (i % 8));
    bytes[i / 8] ^= bit;
    if (const std::string kind = kind_of(bytes); !kind.empty()) {
      EXPECT_TRUE(kind == "corrupt" || kind == "unsupported" || kind == "not_found")
          << kind << " for bit " << i;
      ++refused;
    }
    bytes[i / 8] ^= bit;
  }
  EXPECT_GT(refused, bytes.size());
}

TEST_F(OnnxDamage, ShortDataIsRefused) {
  const std::string data = get_file(folder_ / "model.onnx.data");
  ASSERT_EQ(data.size(), 32u * 64 * 4);
  put_file(folder_ / "model.onnx.data", std::string_view(data).substr(1));
  expect_error(ErrorKind::corrupt, "tensor \"large\": 8192 bytes from 0 on",
               [&] { (void)open_onnx_file(folder_.path()); });
  std::filesystem::remove(folder_ / "model.onnx.data");
  expect_error(ErrorKind::corrupt, "model.onnx.data",
               [&] { (void)open_onnx_file(folder_.path()); });
}

// A float tensor [n] of that name with what else it says.
ProtobufWriter tensor_of(int64_t n) {
  ProtobufWriter out;
  return out.integer(1, n).integer(2, 1).text(8, "w");
}
std::string beside(std::string_view location, std::string_view offset, std::string_view length) {
  ProtobufWriter out = tensor_of(1);
  const std::pair<std::string_view, std::string_view> entries[] = {
      {"location", location}, {"offset", offset}, {"length", length}};
  for (const auto& [key, value] : entries)
    out.text(13, ProtobufWriter().text(1, key).text(2, value).bytes());
  return out.integer(14, 1).bytes();
}

TEST_F(OnnxDamage, NoOtherFileIsRead) {
  put_file(folder_ / "in", "abcd");
  put_tensor(beside("in", "0", "4"));
  EXPECT_EQ(open_onnx_file(folder_.path())->get("w").bytes(), 4u);
  for (const char* location : {"../in", "/etc/passwd", "a/../in", ".", "..", "", "./in"})
    expect_refused(beside(location, "0", "4"), location[0] == '\0' ? "location" : "external_data");
  expect_refused(beside("missing", "0", "4"), "missing");
  expect_refused(beside("in", "1", "4"), "4 bytes from 1 on");
  expect_refused(beside("in", "18446744073709551615", "4"), "4 bytes from 18446744073709551615");
  expect_refused(beside("in", "18446744073709551616", "4"), "expected a number of bytes");
  expect_refused(beside("in", "-1", "4"), "expected a number of bytes");
  expect_refused(beside("in", "0", "5"), "f32 [1] has 5 bytes of data");
}

TEST_F(OnnxDamage, ExtentsThatNoDataHasAreRefused) {
  expect_refused(tensor_of(2).text(9, "abcd").bytes(), "f32 [2] has 4 bytes");
  expect_refused(tensor_of(-1).text(9, "abcd").bytes(), "an extent of -1");
  expect_refused(tensor_of(INT64_MAX).integer(1, 4).text(9, "").bytes(), "");
  expect_refused(tensor_of(INT64_MAX / 2).text(9, "abcd").bytes(), "");
  expect_refused(tensor_of(1).bytes(), "neither raw_data nor external_data");
  expect_refused(ProtobufWriter().integer(2, 8).text(8, "w").bytes(), "type 8");
  expect_refused(ProtobufWriter().integer(2, 1).bytes(), "no name");
  expect_refused(tensor_of(1).text(4, "abcd").bytes(), "field 4");
  ProtobufWriter deep = tensor_of(1);
  for (int i = 0; i < 8; ++i) deep.integer(1, 1);
  expect_refused(deep.text(9, "abcd").bytes(), "more than 8 extents");
}

TEST_F(OnnxDamage, TwoOfOneNameAreRefused) {
  const std::string one = tensor_of(1).text(9, "abcd").bytes();
  ProtobufWriter graph, model;
  graph.text(5, one).text(5, one);
  put(model.text(7, graph.bytes()).bytes());
  expect_error(ErrorKind::corrupt, "two of this name",
               [&] { (void)open_onnx_file(folder_.path()); });
}

}  // namespace
}  // namespace nibble
