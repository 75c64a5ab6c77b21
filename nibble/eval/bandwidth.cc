#include "nibble/eval/bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <string>

#include "nibble/core/error.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kLine = 64;  // bytes that memory hands over at once

// One word of each line: the whole line must come, and adding is no work. Eight sums, so that no
// addition waits for another.
uint64_t sum_of(const uint64_t* words, int64_t count) {
  constexpr int64_t kStride = kLine / 8;
  uint64_t sums[8] = {};
  int64_t i = 0;
  for (; i + 8 * kStride <= count; i += 8 * kStride) {
    for (int64_t j = 0; j < 8; ++j) sums[j] += words[i + j * kStride];
  }
  for (; i < count; i += kStride) sums[0] += words[i];
  uint64_t all = 0;
  for (const uint64_t s : sums) all += s;
  return all;
}

struct Free {
  void operator()(uint64_t* p) const { std::free(p); }
};

// Written once by the threads that will read it, so that its pages lie near them.
std::unique_ptr<uint64_t[], Free> filled(int64_t bytes, int threads) {
  std::unique_ptr<uint64_t[], Free> out(
      static_cast<uint64_t*>(std::aligned_alloc(kLine, static_cast<size_t>(bytes))));
  if (out == nullptr) throw std::bad_alloc();
  const int64_t words = bytes / 8;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < words; ++i) out[static_cast<size_t>(i)] = static_cast<uint64_t>(i);
  return out;
}

int64_t group_limit() {
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in(path);
    int64_t limit = 0;
    if (in >> limit && limit > 0) return limit;
  }
  return INT64_MAX;
}

}  // namespace

double measure_read_bandwidth(const BandwidthOptions& o) {
  if (o.threads < 1 || o.bytes < 1) throw invalid_argument("threads and bytes must be 1 or more");
  const int64_t part = (o.bytes / o.threads + kLine - 1) / kLine * kLine;
  const int64_t bytes = part * o.threads;
  const auto buffer = filled(bytes, o.threads);
  double best = 0;
  uint64_t total = 0;
  const auto begin = Clock::now();
  for (int pass = 0; pass < 3 || Clock::now() - begin < std::chrono::duration<double>(o.seconds);
       ++pass) {
    const auto start = Clock::now();
#pragma omp parallel for schedule(static) num_threads(o.threads) reduction(+ : total)
    for (int t = 0; t < o.threads; ++t) total += sum_of(buffer.get() + part / 8 * t, part / 8);
    const std::chrono::duration<double> took = Clock::now() - start;
    best = std::max(best, static_cast<double>(bytes) / took.count());
  }
  // The sum is used, so that the reading cannot be left out.
  NIBBLE_CHECK(total != 1);
  return best;
}

int64_t usable_memory_bytes() {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return std::min(machine, group_limit());
}

}  // namespace nibble
