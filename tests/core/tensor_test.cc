// Shapes whose products are checked, tensors over memory of their own and of others, sources of
// tensors and their content hash.
#include "nibble/core/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/core/hash.h"
#include "nibble/core/tensor_source.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

TEST(Shape, CountsItsElements) {
  EXPECT_EQ(Shape{}.elements(), 1);  // a scalar
  EXPECT_EQ((Shape{3, 4, 5}).elements(), 60);
  EXPECT_EQ((Shape{0}).elements(), 0);
  EXPECT_EQ((Shape{7, 0, 9}).elements(), 0);
  EXPECT_EQ((Shape{27, 16}).to_string(), "[27, 16]");
  EXPECT_EQ(Shape{}.to_string(), "[]");
  EXPECT_EQ((Shape{2, 3}), Shape(std::vector<int64_t>{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
}

TEST(Shape, RefusesWhatCannotBe) {
  expect_error(ErrorKind::corrupt, "negative", [] { (void)Shape{2, -1}.elements(); });
  expect_error(ErrorKind::corrupt, "negative", [] { (void)Shape{0, -1}.elements(); });
  expect_error(ErrorKind::corrupt, "64 bits", [] { (void)Shape{INT64_MAX, 2}.elements(); });
  expect_error(ErrorKind::corrupt, "64 bits", [] {
    (void)Shape{int64_t{1} << 32, int64_t{1} << 31}.elements();
  });
  EXPECT_EQ((Shape{int64_t{1} << 31, int64_t{1} << 31}).elements(), int64_t{1} << 62);
  // Nothing of something that overflows is nothing.
  EXPECT_EQ((Shape{INT64_MAX, INT64_MAX, 0}).elements(), 0);
}

TEST(Tensor, OwnMemoryIsZeroedAndAligned) {
  for (const int64_t n : {0, 1, 15, 16, 17, 1000}) {
    const Tensor t(DType::f32, Shape{n});
    EXPECT_EQ(t.elements(), n);
    EXPECT_EQ(t.bytes(), static_cast<size_t>(4 * n));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0u);
    EXPECT_FALSE(t.empty());
    for (const float v : t.data<float>()) EXPECT_EQ(v, 0.0f);
  }
  EXPECT_TRUE(Tensor().empty());
  EXPECT_EQ(Tensor().elements(), 0);
  expect_error(ErrorKind::corrupt, "does not fit in memory",
               [] { Tensor(DType::f64, Shape{int64_t{1} << 61}); });
}

TEST(Tensor, IsSharedUntilCloned) {
  const std::vector<int32_t> values = {1, 2, 3, 4, 5, 6};
  Tensor a = Tensor::from<int32_t>(Shape{2, 3}, values);
  Tensor b = a, c = a.clone(), d = a.reshaped(Shape{3, 2});
  a.mutable_data<int32_t>()[0] = 9;
  EXPECT_EQ(b.data<int32_t>()[0], 9);
  EXPECT_EQ(c.data<int32_t>()[0], 1);
  EXPECT_EQ(d.data<int32_t>()[0], 9);
  EXPECT_EQ(d.shape(), (Shape{3, 2}));
  expect_error(ErrorKind::corrupt, "does not match 24 bytes", [&] { (void)a.reshaped(Shape{5}); });
}

TEST(Tensor, ElementsAreReadAsWhatTheyAre) {
  const Tensor t(DType::f32, Shape{2});
  EXPECT_NO_THROW((void)t.data<float>());
  EXPECT_THROW((void)t.data<double>(), std::logic_error);
  EXPECT_THROW((void)t.data<int32_t>(), std::logic_error);
  const float few[] = {1, 2, 3};
  EXPECT_THROW((void)Tensor::from<float>(Shape{2}, few), std::logic_error);
}

TEST(Tensor, AViewKeepsItsOwnerAlive) {
  bool gone = false;
  {
    auto owner = std::shared_ptr<std::byte[]>(new std::byte[8](), [&gone](std::byte* p) {
      gone = true;
      delete[] p;
    });
    std::byte* data = owner.get();
    Tensor view(DType::f32, Shape{2}, {std::move(owner), data, 8});
    const Tensor other = view.reshaped(Shape{1, 2});
    view = Tensor();
    EXPECT_FALSE(gone);
    EXPECT_EQ(other.data<float>()[1], 0.0f);
  }
  EXPECT_TRUE(gone);
}

TEST(Tensor, AViewOfAnotherSizeIsRefused) {
  const auto owner = std::make_shared<std::vector<std::byte>>(8);
  const auto view = [&](DType dtype, Shape shape, size_t size) {
    return [=] { Tensor(dtype, shape, {owner, owner->data(), size}); };
  };
  EXPECT_NO_THROW(view(DType::f32, Shape{2}, 8)());
  EXPECT_NO_THROW(view(DType::u8, Shape{2, 4}, 8)());
  expect_error(ErrorKind::corrupt, "does not match 8 bytes", view(DType::f32, Shape{3}, 8));
  expect_error(ErrorKind::corrupt, "does not match 7 bytes", view(DType::f32, Shape{2}, 7));
  expect_error(ErrorKind::corrupt, "does not match", view(DType::f64, Shape{int64_t{1} << 61}, 8));
}

TEST(MemorySource, ListsByNameAndFinds) {
  TensorMap map;
  map.emplace("b", Tensor(DType::f16, Shape{2, 2}));
  map.emplace("a", Tensor(DType::f32, Shape{3}));
  const MemorySource source(std::move(map));
  ASSERT_EQ(source.list().size(), 2u);
  EXPECT_EQ(source.list()[0].name, "a");
  EXPECT_EQ(source.list()[1].dtype, DType::f16);
  EXPECT_EQ(source.file_bytes(), 12 + 8);
  EXPECT_TRUE(source.contains("b"));
  EXPECT_FALSE(source.contains("c"));
  EXPECT_EQ(source.get("a").elements(), 3);
  expect_error(ErrorKind::not_found, "tensor \"c\"", [&] { (void)source.get("c"); });
}

// A source in another order than that of names.
class Reversed : public TensorSource {
 public:
  explicit Reversed(const MemorySource& source) : source_(source), infos_(source.list()) {
    std::reverse(infos_.begin(), infos_.end());
  }
  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override { return source_.contains(name); }
  Tensor get(std::string_view name) const override { return source_.get(name); }

 private:
  const MemorySource& source_;
  std::vector<TensorInfo> infos_;
};

MemorySource two(float value, Shape shape, const std::string& name = "b") {
  TensorMap map;
  map.emplace("a", Tensor(DType::f32, Shape{3}));
  Tensor t(DType::f32, std::move(shape));
  t.mutable_data<float>()[0] = value;
  map.emplace(name, std::move(t));
  return MemorySource(std::move(map));
}

TEST(ContentHash, IsThatOfTheWeightsAlone) {
  const MemorySource one = two(1, {2, 2});
  const std::string hash = content_hash(one);
  EXPECT_EQ(hash.size(), 5 + 32u);
  EXPECT_TRUE(hash.starts_with("xxh3:"));
  EXPECT_EQ(hash.find_first_not_of("0123456789abcdef", 5), std::string::npos);
  EXPECT_EQ(content_hash(two(1, {2, 2})), hash);
  EXPECT_EQ(content_hash(Reversed(one)), hash);
  EXPECT_NE(content_hash(two(2, {2, 2})), hash);
  EXPECT_NE(content_hash(two(1, {4, 1})), hash);
  EXPECT_NE(content_hash(two(1, {2, 2}, "c")), hash);
  // A negative zero is another number.
  EXPECT_NE(content_hash(two(-0.0f, {1})), content_hash(two(0.0f, {1})));
}

}  // namespace
}  // namespace nibble
