#include "nibble/eval/bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <vector>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/team.h"

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
  const int64_t part = ceil_div(o.bytes, o.threads * kLine) * kLine, words = part / 8;
  const AlignedMemory buffer(part * o.threads);
  const auto part_of = [&](const Team& team) {
    return buffer.as<uint64_t>() + words * team.rank();
  };
  // Written by the threads that will read it, so that its pages lie near them.
  run_team(o.threads, [&](Team& team) {
    for (int64_t i = 0; i < words; ++i) part_of(team)[i] = static_cast<uint64_t>(i);
  });
  double best = 0;
  std::vector<uint64_t> sums(static_cast<size_t>(o.threads) * kLine / 8);
  const auto begin = Clock::now();
  for (int pass = 0; pass < 3 || Clock::now() - begin < std::chrono::duration<double>(o.seconds);
       ++pass) {
    const auto start = Clock::now();
    run_team(o.threads, [&](Team& team) {
      sums[static_cast<size_t>(team.rank() * kLine / 8)] += sum_of(part_of(team), words);
    });
    const std::chrono::duration<double> took = Clock::now() - start;
    best = std::max(best, static_cast<double>(part * o.threads) / took.count());
  }
  // The sums are used, so that the reading cannot be left out.
  NIBBLE_CHECK(sums[0] != 1);
  return best;
}

int64_t usable_memory_bytes() {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return std::min(machine, group_limit());
}

}  // namespace nibble
