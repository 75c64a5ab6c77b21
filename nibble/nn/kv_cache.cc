#include "nibble/nn/kv_cache.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr int64_t kVector = 16;  // elements that rows of values are filled up to

int64_t padded_to(int64_t n, int64_t unit) { return ceil_div(n, unit) * unit; }

int64_t value_stride(const AttentionShape& heads) { return padded_to(heads.values(), kVector); }

int64_t grown(int64_t sum, size_t bytes) {
  const auto more = checked_add(sum, static_cast<int64_t>(bytes));
  if (!more) throw std::bad_alloc();
  return *more;
}

size_t checked_bytes(int64_t a, int64_t b, int64_t c) {
  const auto ab = checked_mul(a, b);
  const auto all = ab ? checked_mul(*ab, c) : std::nullopt;
  if (!all) throw std::bad_alloc();
  return static_cast<size_t>(*all);
}

std::byte* allocate(int64_t size) {
  const auto bytes = static_cast<size_t>(size);
  // calloc: the system gives zeroed pages only as they are touched.
  auto* memory = static_cast<std::byte*>(std::calloc(bytes + 1, 1));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// The whole pages in a range go back to the system, and are zeros when they are touched again.
void give_back(std::byte* begin, int64_t bytes) {
  static const auto kPage = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = (at + kPage - 1) / kPage * kPage,
                  last = (at + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

// One row as int8: the scale, and codes that `put` takes. Not finite: codes 0 and a scale that
// makes NaN of them.
template <class Put>
float encode(const float* x, int64_t n, Put put) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::fmax(most, std::fabs(x[i]));
  const bool finite = std::all_of(x, x + n, [](float v) { return std::isfinite(v); });
  const float scale = finite ? most / 127.0f : std::nanf("");
  for (int64_t i = 0; i < n; ++i) {
    const bool usable = finite && scale > 0;
    put(i, static_cast<int8_t>(usable ? std::nearbyint(std::clamp(x[i] / scale, -127.0f, 127.0f))
                                      : 0.0f));
  }
  return scale;
}

// The largest magnitude of a row; NaN and infinity, which the logits tell of, count as 0.
float largest_of(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i)
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  return largest < 0x7F800000u ? std::bit_cast<float>(largest) : 0.0f;
}

// f16 has 24 binary places: below 2^-21 no more than three of a number's digits are left.
constexpr float kF16Largest = 65504, kF16Least = 0x1p-21f;

}  // namespace

KvCache::KvCache(const CacheShape& shape, int64_t capacity, DType dtype)
    : capacity_(capacity),
      padded_(padded_to(capacity, kKeyBlock)),
      shape_(shape),
      dtype_(dtype),
      element_(size_of(dtype)) {
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::i8) {
    throw unsupported(
        fmt::format("a KV cache of {} cannot be kept (f32, f16 and int8 can)", to_string(dtype)));
  }
  Room end{};
  for (const AttentionShape& h : shape.attention) {
    rooms_.push_back(end);
    const auto rows = static_cast<int64_t>(checked_bytes(h.kv_heads, padded_, 1));
    end.keys = grown(end.keys, checked_bytes(rows, h.head_dim, element_));
    // Vectors are read up to the end of the last row's padding.
    end.values = grown(end.values, checked_bytes(rows, value_stride(h), element_));
    end.scales = grown(end.scales, checked_bytes(rows, 1, sizeof(float)));
  }
  keys_.reset(allocate(end.keys));
  values_.reset(allocate(end.values));
  states_.reset(allocate(static_cast<int64_t>(state_bytes())));
  if (dtype != DType::i8) return;
  key_scales_.reset(allocate(end.scales));
  value_scales_.reset(allocate(end.scales));
}

CacheType KvCache::type() const {
  return dtype_ == DType::f32   ? CacheType::f32
         : dtype_ == DType::f16 ? CacheType::f16
                                : CacheType::i8;
}

size_t KvCache::memory_bytes() const {
  return static_cast<size_t>(*bytes(shape_, capacity_, dtype_));  // it has been allocated
}

std::optional<int64_t> KvCache::bytes(const CacheShape& shape, int64_t capacity, DType dtype) {
  const auto positions = checked_mul(bytes_per_token(shape, dtype), padded_to(capacity, kKeyBlock));
  const int64_t states = 2 * shape.state_layers * shape.state * int64_t{sizeof(float)};
  return positions ? checked_add(*positions, states) : std::nullopt;
}

size_t KvCache::state_bytes() const {
  return checked_bytes(2 * shape_.state_layers, shape_.state, sizeof(float));
}

void KvCache::clear() {
  length_ = 0;
  misfit_ = 0;
  std::memset(states_.get(), 0, state_bytes());
}

std::vector<KvCache::Part> KvCache::parts() const {
  std::vector<Part> out;
  for (size_t layer = 0; layer < rooms_.size(); ++layer) {
    const AttentionShape& h = shape_.attention[layer];
    const Room& at = rooms_[layer];
    out.push_back({keys_.get() + at.keys, h.kv_heads, h.head_dim * element_, kKeyBlock});
    out.push_back({values_.get() + at.values, h.kv_heads, value_stride(h) * element_, 1});
    for (std::byte* scales : {key_scales_.get(), value_scales_.get()}) {
      if (scales != nullptr) out.push_back({scales + at.scales, h.kv_heads, sizeof(float), 1});
    }
  }
  return out;
}

void KvCache::truncate(int64_t length) {
  NIBBLE_CHECK(length >= 0 && length <= length_);
  if (length == length_) return;
  NIBBLE_CHECK(length == 0 || shape_.state_layers == 0);
  if (length == 0) clear();
  length_ = length;
  for (const Part& p : parts()) {
    const int64_t kept = padded_to(length, p.unit) * p.row_bytes;
    for (int64_t h = 0; h < p.heads; ++h)
      give_back(p.data + h * padded_ * p.row_bytes + kept, padded_ * p.row_bytes - kept);
  }
}

void KvCache::copy_prefix(const KvCache& other, int64_t length) {
  NIBBLE_CHECK(other.shape_ == shape_ && other.dtype_ == dtype_ && length <= capacity_);
  NIBBLE_CHECK(length == other.length_ || (length < other.length_ && shape_.state_layers == 0));
  const std::vector<Part> from = other.parts(), to = parts();
  for (size_t i = 0; i < to.size(); ++i) {
    const auto bytes = static_cast<size_t>(padded_to(length, to[i].unit) * to[i].row_bytes);
    for (int64_t h = 0; h < to[i].heads; ++h)
      std::memcpy(to[i].data + h * padded_ * to[i].row_bytes,
                  from[i].data + h * other.padded_ * from[i].row_bytes, bytes);
  }
  for (int64_t l = 0; l < shape_.state_layers; ++l) {
    const auto state = other.state(l);
    std::copy(state.begin(), state.end(), of_state(l, now_).begin());
  }
  length_ = length;
}

int64_t KvCache::bytes_per_token(const CacheShape& shape, DType dtype) {
  const int64_t scales = dtype == DType::i8 ? 2 * int64_t{sizeof(float)} : 0;
  int64_t sum = 0;
  for (const AttentionShape& h : shape.attention)
    sum += h.kv_heads * ((h.head_dim + value_stride(h)) * size_of(dtype) + scales);
  return sum;
}

// Keeps the largest of the magnitudes that f16 cannot hold, so that what is told of does not depend
// on the order of threads.
void KvCache::check_range(const float* x, int64_t n) {
  const float largest = largest_of(x, n);
  if (largest == 0 || (largest >= kF16Least && largest <= kF16Largest)) return;
  const std::atomic_ref<float> misfit(misfit_);
  float seen = misfit.load(std::memory_order_relaxed);
  while (largest > seen &&
         !misfit.compare_exchange_weak(seen, largest, std::memory_order_relaxed)) {
  }
}

std::optional<Error> KvCache::take_range_error() {
  const float misfit = std::exchange(misfit_, 0.0f);
  if (misfit == 0) return std::nullopt;
  return corrupt(
      fmt::format("keys or values of this model are {}, which the KV cache in f16 cannot "
                  "hold ({:g} to {:g}): keep it in f32 or int8 (`kv`)",
                  misfit > kF16Largest ? fmt::format("as large as {:.4g}", misfit)
                                       : fmt::format("as small as {:.4g}", misfit),
                  kF16Least, kF16Largest));
}

void KvCache::write(int64_t layer, int64_t head, int64_t position, const float* key,
                    const float* value) {
  const AttentionShape& shape = heads(layer);
  const Room& at = room(layer);
  const int64_t n = shape.head_dim, values_n = shape.values(), first = head * padded_;
  const int64_t block = (first + position / kKeyBlock * kKeyBlock) * n + position % kKeyBlock;
  std::byte* const keys = keys_.get() + at.keys + block * element_;
  std::byte* const values =
      values_.get() + at.values + (first + position) * value_stride(shape) * element_;
  if (dtype_ == DType::f32) {
    auto* to = reinterpret_cast<float*>(keys);
    for (int64_t i = 0; i < n; ++i) to[i * kKeyBlock] = key[i];
    std::memcpy(values, value, static_cast<size_t>(values_n) * sizeof(float));
  } else if (dtype_ == DType::f16) {
    check_range(key, n);
    check_range(value, values_n);
    const LayerOps& ops = best_layer_ops();
    ops.to_f16(value, values_n, reinterpret_cast<uint16_t*>(values));
    auto* to = reinterpret_cast<uint16_t*>(keys);
    uint16_t halves[64];
    for (int64_t i = 0; i < n; i += 64) {
      const int64_t count = std::min<int64_t>(64, n - i);
      ops.to_f16(key + i, count, halves);
      for (int64_t j = 0; j < count; ++j) to[(i + j) * kKeyBlock] = halves[j];
    }
  } else {
    auto* k = reinterpret_cast<int8_t*>(keys);
    auto* v = reinterpret_cast<int8_t*>(values);
    reinterpret_cast<float*>(key_scales_.get() + at.scales)[first + position] =
        encode(key, n, [&](int64_t i, int8_t code) { k[i * kKeyBlock] = code; });
    reinterpret_cast<float*>(value_scales_.get() + at.scales)[first + position] =
        encode(value, values_n, [&](int64_t i, int8_t code) { v[i] = code; });
  }
}

void KvCache::describe(int64_t layer, int64_t head, AttendRows& rows) const {
  const AttentionShape& shape = heads(layer);
  const Room& at = room(layer);
  const int64_t first = head * padded_, d = shape.head_dim;
  rows.head_dim = d;
  rows.value_dim = shape.values();
  rows.value_stride = value_stride(shape);
  rows.keys = keys_.get() + at.keys + first * d * element_;
  rows.values = values_.get() + at.values + first * rows.value_stride * element_;
  if (dtype_ != DType::i8) return;
  rows.key_scales = reinterpret_cast<const float*>(key_scales_.get() + at.scales) + first;
  rows.value_scales = reinterpret_cast<const float*>(value_scales_.get() + at.scales) + first;
}

}  // namespace nibble
