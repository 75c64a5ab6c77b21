#include "nibble/eval/bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <new>
#include <optional>
#include <vector>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/team.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kLine = 64;                       // bytes that memory hands over at once
constexpr int64_t kLeastCache = int64_t{16} << 20;  // where the system does not tell

// One word of each line: the whole line must come, and adding is no work. Eight sums, so that no
// addition waits for another.
uint64_t sum_of_bytes(const uint64_t* words, int64_t count) {
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

int64_t group_limit() {
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in(path);
    int64_t limit = 0;
    if (in >> limit && limit > 0) return limit;
  }
  return INT64_MAX;
}

// A part for each thread, all of the same length.
struct Parts {
  int64_t words;  // of a part
  AlignedMemory memory;

  Parts(int64_t bytes, int threads)
      : words(ceil_div(bytes, threads * kLine) * kLine / 8), memory(words * 8 * threads) {}
  uint64_t* of(const Team& team) const { return memory.as<uint64_t>() + words * team.rank(); }
};

// As much as is to be had of what is asked for; nothing where that would fit the caches.
std::optional<Parts> parts_for(const BandwidthOptions& o) {
  const int64_t cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), kLeastCache);
  int64_t bytes = o.bytes;
  do {
    try {
      return std::optional<Parts>(std::in_place, bytes, o.threads);
    } catch (const std::bad_alloc&) {
      bytes /= 2;
    }
  } while (bytes >= cache + cache / 2);
  return std::nullopt;
}

double read_again_and_again(const Parts& parts, const BandwidthOptions& o) {
  double best = 0;
  std::vector<uint64_t> sums(static_cast<size_t>(o.threads) * kLine / 8);
  const auto begin = Clock::now();
  for (int pass = 0; pass < 3 || Clock::now() - begin < std::chrono::duration<double>(o.seconds);
       ++pass) {
    const auto start = Clock::now();
    run_team(o.threads, [&](Team& team) {
      sums[static_cast<size_t>(team.rank() * kLine / 8)] +=
          sum_of_bytes(parts.of(team), parts.words);
    });
    const std::chrono::duration<double> took = Clock::now() - start;
    best = std::max(best, static_cast<double>(parts.words * 8 * o.threads) / took.count());
  }
  // The sums are used, so that the reading cannot be left out.
  NIBBLE_CHECK(sums[0] != 1);
  return best;
}

}  // namespace

double measure_read_bandwidth(const BandwidthOptions& o) {
  if (o.threads < 1 || o.bytes < 1) throw invalid_argument("threads and bytes must be 1 or more");
  const std::optional<Parts> parts = parts_for(o);
  if (!parts) return 0;
  // Written by the threads that will read it, so that its pages lie near them.
  run_team(o.threads, [&](Team& team) {
    for (int64_t i = 0; i < parts->words; ++i) parts->of(team)[i] = static_cast<uint64_t>(i);
  });
  return read_again_and_again(*parts, o);
}

int64_t usable_memory_bytes() {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return std::min(machine, group_limit());
}

}  // namespace nibble
