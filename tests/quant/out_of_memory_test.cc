// Memory that is short inside a method's loops over threads: an error, not the end of the process.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "nibble/core/error.h"
#include "nibble/core/executor.h"
#include "nibble/quant/method.h"
#include "tests/support/command.h"
#include "tests/support/correlated.h"

namespace {

// Allocations inside parallel regions that still succeed; negative: all of them.
std::atomic<int64_t> allowed{-1};
std::atomic<int64_t> seen{0};

[[maybe_unused]] void* allocate(size_t bytes) {
  if (nibble::Executor::inside()) {
    ++seen;
    if (allowed.load() >= 0 && allowed.fetch_sub(1) <= 0) {
      allowed = 0;
      throw std::bad_alloc();
    }
  }
  void* const p = std::malloc(bytes == 0 ? 1 : bytes);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__)
void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
#endif

namespace nibble {
namespace {

constexpr int kThreads = 2;

// What a method does where the allocation after `before` others fails: true where it said so.
bool runs_short(const Method& m, const test::Layer& layer, int64_t before) {
  const Tensor w = Tensor::from<float>(Shape{layer.n, layer.k}, layer.w);
  MethodOptions options;
  options.steps = 2;
  options.sweeps = 1;
  allowed = before;
  bool said = false;
  try {
    m.quantize({w, parse_scheme("int4:g32"), options, "w", &layer.input, kThreads});
  } catch (const std::bad_alloc&) {
    said = true;
  }
  allowed = -1;
  return said;
}

TEST(OutOfMemory, InTheLoopsOfAMethodIsSaid) {
  if (test::kSanitized) GTEST_SKIP() << "the sanitizer has an operator new of its own";
  const test::Layer layer = test::correlated_layer(1, 160, 96, 96, 256);
  int allocating = 0;
  for (const Method& m : methods()) {
    SCOPED_TRACE(m.name);
    constexpr int64_t kEnough = int64_t{1} << 40;
    EXPECT_FALSE(runs_short(m, layer, kEnough));  // threads fill what they keep
    seen = 0;
    EXPECT_FALSE(runs_short(m, layer, kEnough));
    const int64_t all = seen;
    if (all == 0) continue;
    ++allocating;
    EXPECT_TRUE(runs_short(m, layer, 0));
    EXPECT_TRUE(runs_short(m, layer, all / 2)) << all;
  }
  EXPECT_GE(allocating, 2);  // gptq and autoround at least
}

}  // namespace
}  // namespace nibble
