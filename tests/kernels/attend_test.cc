// Attention of every instruction set over every kind of cache: near the reference, and all but the
// reference the same bytes, for ragged heads, windows and capped scores.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "nibble/core/float_formats.h"
#include "tests/kernels/layer_sets.h"

namespace nibble {
namespace {

struct AttendCase {
  int64_t head_dim, positions, rows, window;
  float softcap;
  int64_t other_dim = 0;  // of values, where it is not head_dim
  bool sinks = false;
  int64_t value_dim() const { return other_dim > 0 ? other_dim : head_dim; }
};

// Keys, values and queries in the layouts of a cache.
class AttendData {
 public:
  AttendData(const AttendCase& c, CacheType type)
      : c_(c),
        stride_((c.value_dim() + 15) / 16 * 16),
        padded_((c.positions + kKeyBlock - 1) / kKeyBlock * kKeyBlock),
        queries_(normal_values(static_cast<size_t>(c.rows * c.head_dim), 1)) {
    const auto keys = normal_values(static_cast<size_t>(padded_ * c.head_dim), 2);
    std::vector<float> values = normal_values(static_cast<size_t>(padded_ * stride_), 3);
    for (size_t i = 0; i < values.size(); ++i) {
      if (static_cast<int64_t>(i) % stride_ >= c.value_dim())
        values[i] = 0;  // what rows are filled up with
    }
    keys_ = encoded(keys, type), values_ = encoded(values, type);
    if (type != CacheType::i8) return;
    for (int64_t t = 0; t < padded_; ++t) {
      key_scales_.push_back(0.01f + 0.001f * static_cast<float>(t % 7));
      value_scales_.push_back(0.02f - 0.001f * static_cast<float>(t % 5));
    }
  }

  std::vector<float> run(const LayerOps& ops, CacheType type) {
    std::vector<float> out(static_cast<size_t>(c_.rows * c_.value_dim()), -7.0f),
        scratch(static_cast<size_t>(attend_scratch_floats(c_.head_dim, c_.value_dim())) + 16);
    AttendRows a;
    a.rows = c_.rows;
    for (int64_t r = 0; r < c_.rows; ++r) {
      const auto i = static_cast<size_t>(r);
      a.q[i] = queries_.data() + r * c_.head_dim;
      a.out[i] = out.data() + r * c_.value_dim();
      a.end[i] = c_.positions - c_.rows + r + 1;
      a.begin[i] = c_.window > 0 ? std::max<int64_t>(a.end[i] - c_.window, 0) : 0;
    }
    a.has_sinks = c_.sinks;  // below, among and above the scores
    for (int i = 0; i < kQueryRows && c_.sinks; ++i)
      a.sinks[i] = 3.0f * static_cast<float>(i % 3) - 3;
    a.keys = keys_.data(), a.values = values_.data();
    if (type == CacheType::i8)
      a.key_scales = key_scales_.data(), a.value_scales = value_scales_.data();
    a.head_dim = c_.head_dim, a.value_dim = c_.value_dim(), a.value_stride = stride_;
    a.scale = 1 / std::sqrt(static_cast<float>(c_.head_dim)), a.softcap = c_.softcap;
    void* place = scratch.data();
    size_t room = scratch.size() * sizeof(float);
    a.scratch = static_cast<float*>(std::align(64, room - 64, place, room));
    ops.attend[static_cast<size_t>(type)](a);
    return out;
  }

 private:
  static std::vector<uint8_t> encoded(const std::vector<float>& x, CacheType type) {
    const size_t width = type == CacheType::f32 ? 4 : type == CacheType::f16 ? 2 : 1;
    std::vector<uint8_t> out(x.size() * width + 64);  // vectors may read on behind the last row
    for (size_t i = 0; i < x.size(); ++i) {
      const uint16_t half = f32_to_f16(x[i]);
      const auto code = static_cast<int8_t>(std::clamp(std::nearbyint(x[i] * 16), -127.0f, 127.0f));
      const void* from = type == CacheType::f32   ? static_cast<const void*>(&x[i])
                         : type == CacheType::f16 ? static_cast<const void*>(&half)
                                                  : &code;
      std::memcpy(out.data() + i * width, from, width);
    }
    return out;
  }

  AttendCase c_;
  int64_t stride_, padded_;
  std::vector<float> queries_, key_scales_, value_scales_;
  std::vector<uint8_t> keys_, values_;
};

TEST(Kernels, AttentionOverEveryCacheIsTheReferences) {
  const AttendCase cases[] = {{1, 1, 1, 0, 0},
                              {5, 16, 3, 0, 0},
                              {16, 17, 8, 0, 0},
                              {20, 33, 2, 0, 30},
                              {33, 130, 8, 0, 0},
                              {64, 128, 4, 0, 0},
                              {64, 129, 5, 40, 0},
                              {80, 300, 8, 140, 0},
                              {128, 257, 1, 1, 2},
                              {24, 140, 8, 0, 0, 16},
                              {24, 33, 3, 20, 0, 33},
                              {5, 129, 1, 0, 0, 70},
                              {72, 40, 4, 0, 3, 1},
                              {24, 1, 1, 0, 0, 0, true},
                              {24, 150, 8, 0, 0, 40, true},
                              {64, 129, 5, 40, 3, 0, true}};
  for (const AttendCase& c : cases) {
    for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::i8}) {
      AttendData data(c, type);
      const std::vector<float> expected = data.run(ref_layer_ops(), type),
                               bytes = data.run(portable_layer_ops(), type);
      for (const LayerOps* ops : layer_ops()) {
        const std::vector<float> found = data.run(*ops, type);
        for (size_t i = 0; i < found.size(); ++i)
          ASSERT_NEAR(found[i], expected[i], 2e-5 * (1 + std::abs(expected[i])))
              << ops->name << " head " << c.head_dim << " positions " << c.positions << " type "
              << static_cast<int>(type) << " " << i;
        if (ops == &ref_layer_ops()) continue;
        EXPECT_EQ(found, bytes) << ops->name << " head " << c.head_dim << " positions "
                                << c.positions << " type " << static_cast<int>(type);
      }
    }
  }
}

// The first of eight rows gives what it gives alone: it sees 143 of the 150 positions.
TEST(Kernels, RowsOfAttentionDoNotKnowOfEachOther) {
  for (const LayerOps* ops : layer_ops()) {
    for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::i8}) {
      const std::vector<float> all = AttendData({24, 150, 8, 60, 0}, type).run(*ops, type);
      EXPECT_EQ(AttendData({24, 143, 1, 60, 0}, type).run(*ops, type),
                std::vector<float>(all.begin(), all.begin() + 24))
          << ops->name << " type " << static_cast<int>(type);
    }
  }
}

}  // namespace
}  // namespace nibble
